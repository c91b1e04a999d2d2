// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// The handler of one work type of a ledger, as a C function with a context: it may run in a signal handler.
final class SendHandler: Sendable {
  private let kind: SendKind
  private let ledger: SendLedger
  private let coordinator: Coordinator
  private let torture: Torture
  private let row: Int

  init(_ kind: SendKind, _ ledger: SendLedger, _ coordinator: Coordinator, _ torture: Torture) {
    self.kind = kind
    self.ledger = ledger
    self.coordinator = coordinator
    self.torture = torture
    row = 40 + kind.rawValue
  }

  /// Registers the handler. It has to live until the coordinator ends.
  func register() throws(IsolationError) -> WorkType {
    // Safety: the rig keeps this for as long as the coordinator.
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    if kind.options.delivery == .bit {
      return try unsafe coordinator.register(
        "\(kind)", options: kind.options, context: context
      ) { context, cpu in
        unsafe Unmanaged<SendHandler>.fromOpaque(context.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { $0.run(cpu, .everything) }
      }
    }
    return try unsafe coordinator.register(
      "\(kind)", options: kind.options, context: context,
      payloadFunction: { context, cpu, payload in
        unsafe Unmanaged<SendHandler>.fromOpaque(context.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { $0.run(cpu, WorkType.Payload(rawValue: payload)) }
      })
  }

  private func run(_ cpu: Int, _ payload: WorkType.Payload) {
    checkPlace(cpu)
    torture.faults.reachInHandler(.inHandler)
    let run = ledger.runs(kind, cpu)
    if torture.options.bug != .forgetfulHandler || run & 63 != 63 { copy(cpu, payload) }
    ledger.countRun(kind, cpu)
    torture.counts.add(.run, row: row)
    ledger.leave(cpu)
  }

  private func copy(_ cpu: Int, _ payload: WorkType.Payload) {
    let everyone = 0..<ledger.writers
    switch kind {
    case .union where !payload.isEverything:
      for writer in everyone where payload.rawValue >> UInt64(writer) & 1 != 0 {
        ledger.copy(kind, cpu, of: writer..<writer + 1)
      }
    case .hull where !payload.isEverything:
      ledger.copy(kind, cpu, of: Int(payload.range.lowerBound)..<Int(payload.range.upperBound))
    case .maximum:
      ledger.tellMaximum(payload.isEverything ? ledger.drawnMaximum : payload.rawValue, cpu)
      ledger.copy(kind, cpu, of: everyone)
    default: ledger.copy(kind, cpu, of: everyone)
    }
  }

  /// Whether this thread may run the handler, and runs it alone.
  private func checkPlace(_ cpu: Int) {
    func tally(_ violation: Violations.Kind) {
      torture.violations.tally(violation, type: kind.rawValue, cpu: cpu)
    }
    if !ledger.enter(cpu) { tally(.ranBesideItself) }
    guard coordinator.currentCPU == cpu else {
      if !kind.options.mayRunOnBehalf { tally(.ranOnForeignThread) }
      return
    }
    switch coordinator.context(of: cpu) {
    case .kernel: break
    case .offline: tally(.ranWhileOffline)
    case .user, .guest, .idle: tally(.ranWhileUser)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Sends from the program's own signal handler, whatever thread that interrupts.
final class SignalSender: Sendable {
  private let ledger: SendLedger
  private let coordinator: Coordinator
  private let work: WorkType
  private let writer: Int
  private let torture: Torture
  private let isBusy = WordTable(1)
  private let ticks = WordTable(1)
  private static let kind = SendKind.safe

  init(_ sends: SendRig, _ coordinator: Coordinator, writer: Int, _ torture: Torture) {
    ledger = sends.ledger
    work = sends.work(Self.kind)
    self.coordinator = coordinator
    self.writer = writer
    self.torture = torture
  }

  /// What the C function gets. This object lives until the process ends.
  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passRetained(self).toOpaque() }

  static func send(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe Unmanaged<SignalSender>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.send() }
  }

  private func send() {
    // One handler at a time is this writer.
    guard isBusy.change(0, from: 0, to: 1) else { return }
    defer { isBusy.storeReleasing(0, 0) }
    if torture.isOver { return }
    let cpu = Int(ticks.add(0) % UInt64(World.cpus))
    let number = ledger.number(by: writer, Self.kind, cpu)
    ledger.issue(number, by: writer, Self.kind, cpu)
    let outcome = coordinator.send(work, to: cpu)
    torture.counts.add(.signalSend, row: 36)
    switch outcome {
    case .rejected, .skipped: return
    case .gone: ledger.account(Self.kind, cpu)
    default:
      ledger.account(Self.kind, cpu)
      ledger.promise(number, by: writer, Self.kind, cpu)
    }
  }
}

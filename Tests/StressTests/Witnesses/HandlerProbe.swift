// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// The handler of one work type of a ledger, as a C function with a context: it may run in a signal handler.
final class HandlerProbe: Sendable {
  private let ledger: DeferralLedger
  private let type: Int
  private let coordinator: Coordinator
  /// What else the handler does.
  private let then: @Sendable (_ cpu: Int) -> Void

  init(
    _ ledger: DeferralLedger, type: Int, _ coordinator: Coordinator,
    then: @escaping @Sendable (_ cpu: Int) -> Void = { _ in }
  ) {
    self.ledger = ledger
    self.type = type
    self.coordinator = coordinator
    self.then = then
  }

  private func run(_ cpu: Int) {
    ledger.handle(
      type: type, cpu: cpu, on: coordinator, isOwner: coordinator.currentCPU == cpu)
    then(cpu)
  }

  /// Registers the probe. It has to live until the coordinator ends.
  func register(_ name: String, _ options: WorkType.Options) throws -> WorkType {
    try unsafe coordinator.register(
      name, options: options, context: Unmanaged.passUnretained(self).toOpaque()
    ) { context, cpu in
      unsafe Unmanaged<HandlerProbe>.fromOpaque(context.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.run(cpu) }
    }
  }
}

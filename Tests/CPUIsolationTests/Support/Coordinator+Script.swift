// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension Coordinator.Configuration {
  /// CPU 0 for housekeeping, isolated ones from 1 on, bound to no processor and watched by nobody:
  /// what happens is due to the script alone.
  static func scripted(
    isolated: Int = 1, _ interrupter: Interrupter = .poll
  ) -> Coordinator.Configuration {
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<isolated + 1))
    configuration.pinning = .none
    configuration.isolatedInterrupter = interrupter
    configuration.watchdog = nil
    return configuration
  }
}

extension Coordinator {
  /// Registers a type whose handler counts its runs.
  func register(
    _ name: String = "work", options: WorkType.Options = .init(), counting counter: Counter
  ) throws -> WorkType {
    try register(name, options: options) { _ in counter.increment() }
  }

  /// Registers a type that may run in a signal handler; the counter has to outlive it.
  func registerSafe(counting counter: Counter) throws -> WorkType {
    var options = WorkType.Options()
    options.isInterruptSafe = true
    return unsafe try register(
      "safe", options: options, context: counter.context, function: Counter.function)
  }

  /// The equation of the counts: every send is accounted for, once.
  func expectBalance(
    of work: WorkType, sent: UInt64? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let counts = statistics()[work]
    #expect(
      counts.sent == counts.executed + counts.merged + counts.pending + counts.gone,
      "\(counts)", sourceLocation: sourceLocation)
    if let sent { #expect(counts.sent == sent, sourceLocation: sourceLocation) }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Synchronization

/// What the handlers of these tests catch up with, and what they maintain: a sum that a publisher
/// changes, and a copy of it per CPU.
final class Catalogue: Sendable {
  final class Cell: Sendable {
    let value = Atomic(0)
  }

  /// How often something was published.
  let version = Atomic(0)
  /// What is published now.
  let sum = Atomic(0)
  /// The copies, by CPU.
  let copies: [Cell] = [Cell(), Cell(), Cell()]
  /// What a publisher may hold.
  let lock = Mutex(())
  /// What was published and nobody has fetched yet, by CPU.
  let queues = Mutex<[[Int]]>([[], [], []])

  func publish(_ step: Int) {
    sum.add(step + 3, ordering: .relaxed)
    version.add(1, ordering: .releasing)
    queues.withLock { queues in
      for cpu in queues.indices { queues[cpu].append(step + 3) }
    }
  }

  /// What a good handler does.
  func copy(_ cpu: Int) {
    copies[cpu].value.store(sum.load(ordering: .relaxed), ordering: .relaxed)
  }

  /// A subject whose state is the CPU's copy.
  func subject(
    _ work: WorkType, others: [WorkType] = [],
    whilePublishing: (@Sendable (() -> Void) -> Void)? = nil
  ) -> HandlerSubject<Int> {
    HandlerSubject(
      work, publish: publish, state: { [copies] in copies[$0].value.load(ordering: .relaxed) },
      others: others, whilePublishing: whilePublishing)
  }
}

/// Checks a handler that is given the catalogue and the CPU.
func conformance(
  of name: String, _ options: HandlerConformance.Options = .standard,
  registered: WorkType.Options = .init(),
  _ handler: @escaping @Sendable (Catalogue, Int) -> Void
) throws -> ConformanceReport {
  try HandlerConformance.check(name, options) { coordinator in
    let catalogue = Catalogue()
    let work = try coordinator.register(name, options: registered) { handler(catalogue, $0) }
    return catalogue.subject(work)
  }
}

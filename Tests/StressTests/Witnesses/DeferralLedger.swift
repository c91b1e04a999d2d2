// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What senders promised and what handlers saw, per writer, work type and CPU.
///
/// A writer numbers its sends of one type to one CPU: it writes the number (`issued`) before the send, and
/// again (`promised`) after a send that was accepted. The handler copies what it sees of `issued` to `seen`. Whoever
/// reads a promise and then makes the CPU enter kernel must find `seen` at least as high: that is the library's word.
final class DeferralLedger: Sendable {
  let cpus: Int
  let types: Int
  let writers: Int
  private let issued: WordTable
  private let promised: WordTable
  /// The promises that hold at once: the CPU was outside kernel, and sees nothing older from its next entry on.
  private let deferred: WordTable
  private let seen: WordTable
  private let runs: WordTable
  private let inside: WordTable
  private let faults = WordTable(Fault.allCases.count)

  /// What a handler found wrong. It may run in a signal handler, so it only counts.
  enum Fault: Int, CaseIterable {
    case ranWhileUser, ranWhileIdle, ranWhileOffline, ranBesideItself
  }

  init(cpus: Int, types: Int, writers: Int) {
    self.cpus = cpus
    self.types = types
    self.writers = writers
    issued = WordTable(cpus * types * writers)
    promised = WordTable(cpus * types * writers)
    deferred = WordTable(cpus * types * writers)
    seen = WordTable(cpus * types * writers)
    runs = WordTable(cpus * types)
    inside = WordTable(cpus)
  }

  private func row(_ cpu: Int, _ type: Int) -> Int { (cpu * types + type) * writers }

  // MARK: Writers

  /// Writes the datum of the writer's next send and tells its number.
  func issue(by writer: Int, type: Int, cpu: Int) -> UInt64 {
    let index = row(cpu, type) + writer
    let number = issued.load(index) + 1
    // Relaxed: the send is what publishes it.
    issued.store(index, number)
    return number
  }

  /// The send of this number was accepted.
  func promise(
    _ number: UInt64, by writer: Int, type: Int, cpu: Int, isDeferred: Bool = false
  ) {
    let index = row(cpu, type) + writer
    promised.storeReleasing(index, number)
    if isDeferred { deferred.storeReleasing(index, number) }
  }

  /// The number that the handler has seen.
  func seen(of writer: Int, type: Int, cpu: Int) -> UInt64 { seen.load(row(cpu, type) + writer) }

  // MARK: Handlers

  func handle(type: Int, cpu: Int, on coordinator: Coordinator, isOwner: Bool) {
    if inside.exchange(cpu, 1) != 0 { faults.add(Fault.ranBesideItself.rawValue) }
    if isOwner {
      switch coordinator.context(of: cpu) {
      case .kernel: break
      case .user, .guest: faults.add(Fault.ranWhileUser.rawValue)
      case .idle: faults.add(Fault.ranWhileIdle.rawValue)
      case .offline: faults.add(Fault.ranWhileOffline.rawValue)
      }
    }
    let row = row(cpu, type)
    for index in row..<row + writers {
      let number = issued.load(index)
      if number > seen.load(index) { seen.store(index, number) }
    }
    runs.add(cpu * types + type)
    inside.store(cpu, 0)
  }

  /// How often the handler of a type has run for a CPU.
  func runs(type: Int, cpu: Int) -> UInt64 { runs.load(cpu * types + type) }

  func count(of fault: Fault) -> UInt64 { faults.load(fault.rawValue) }

  // MARK: Checks

  /// A CPU's view: the promises made to it so far.
  struct Promises {
    fileprivate var numbers: [UInt64]
  }

  /// Reads every promise made to this CPU. Its owner does that before it enters kernel.
  func promises(to cpu: Int) -> Promises {
    let base = row(cpu, 0)
    return Promises(numbers: (0..<types * writers).map { promised.loadAcquiring(base + $0) })
  }

  /// Reads every datum that was written for this CPU: what its thread has seen by looking itself.
  func observed(by cpu: Int) -> Promises {
    let base = row(cpu, 0)
    return Promises(numbers: (0..<types * writers).map { issued.load(base + $0) })
  }

  /// Notes each promise that neither a handler nor the thread's own look at its beginning has covered.
  func check(
    _ promises: Promises, of cpu: Int, after action: String, beginning: Promises? = nil,
    _ violations: Violations
  ) {
    let base = row(cpu, 0)
    for (offset, promised) in promises.numbers.enumerated() {
      let seen = max(seen.load(base + offset), beginning?.numbers[offset] ?? 0)
      violations.check(
        promised <= seen,
        "lost: CPU \(cpu) after \(action): writer \(offset % writers) had been promised that send "
          + "\(promised) of type \(offset / writers) is seen, but only \(seen) was")
    }
  }

  /// Notes each send that was deferred, and has not been seen by a CPU that is in kernel: only its owner may ask, there.
  func checkDeferred(to cpu: Int, beginning: Promises? = nil, _ violations: Violations) {
    let base = row(cpu, 0)
    for offset in 0..<types * writers {
      let promised = deferred.loadAcquiring(base + offset)
      let seen = max(seen.load(base + offset), beginning?.numbers[offset] ?? 0)
      violations.check(
        promised <= seen,
        "stale: CPU \(cpu) is in kernel, and writer \(offset % writers)'s send \(promised) of type "
          + "\(offset / writers) was deferred, but only \(seen) was seen")
    }
  }

  func checkFaults(_ violations: Violations, except tolerated: Set<Fault> = []) {
    for fault in Fault.allCases where !tolerated.contains(fault) {
      violations.check(count(of: fault) == 0, "a handler \(fault), \(count(of: fault)) times")
    }
  }
}

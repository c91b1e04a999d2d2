// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Keys that change and are invalidated while isolated CPUs look them up through their caches: no answer is
  /// older than the last invalidation that had settled, and none belongs to another key.
  @Suite(.serialized) struct LookupCaches {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var readers = 2
      var keys = 40
      var sets = 4
      /// The most keys that one invalidation names.
      var batch = 1
      var ceiling = 8
      var changesHands = false
      /// Readers are interrupted, and their handlers look up as well.
      var signals = false
      var testDescription: String {
        "seed \(seed): \(readers) readers, \(keys) keys in \(sets) sets, batches of \(batch), "
          + "ceiling \(ceiling)" + (changesHands ? ", threads come and go" : "")
          + (signals ? ", interrupted" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 601),
      Case(seed: 602, keys: 6, sets: 2),
      Case(seed: 603, keys: 2000, sets: 64, batch: 20),
      Case(seed: 604, batch: 6, ceiling: 0, changesHands: true),
      Case(seed: 605, keys: 12, sets: 2, signals: true),
    ])
    func noAnswerIsOld(_ test: Case) throws { try LookupExperiment(test).run() }
  }
}

/// A key's value is the key and the number of its last change. The writer notes that number before the
/// change, and again when its invalidation has settled.
private final class LookupExperiment: Sendable {
  private let test: StressTests.LookupCaches.Case
  private let coordinator: Coordinator
  let cache: LookupCache<UInt64, UInt64>
  /// What the table says, by key.
  private let table: WordTable
  /// By key, the last change that no CPU may be unaware of.
  private let settled: WordTable
  private let violations = Violations()
  private let stop = SharedFlag()
  private let found = SharedCounter()

  init(_ test: StressTests.LookupCaches.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<test.readers + 1))
    configuration.isolatedInterrupter = .poll
    configuration.pinning = .none
    configuration.watchdog = nil
    coordinator = try Coordinator(configuration)
    cache = try LookupCache(coordinator, "lookups", sets: test.sets, ceiling: test.ceiling)
    table = WordTable(test.keys)
    settled = WordTable(test.keys)
    for key in 0..<test.keys { table.store(key, UInt64(key) << 32) }
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.6))
    if test.signals { SignalledCacheLookup.install(self) }
    let readers = (0..<test.readers * (test.changesHands ? 2 : 1)).map { index in
      TestThread { [self] in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !stop.isSet { read(index % test.readers + 1, &random) }
      }
    }
    var random = SeededGenerator(seed: test.seed, stream: 100)
    var rounds = 0
    // Until something was found, however slow the readers are.
    while !until.isOver || rounds < 20 {
      change(&random)
      rounds += 1
    }
    let isTested = eventually { self.found.value > 0 }
    stop.set()
    for reader in readers { reader.join() }
    violations.check(isTested, "nothing was found: nothing was tested")
    let dropped: UInt64 = coordinator.isolated.reduce(0) { sum, cpu in
      let counts = cache.statistics(of: cpu)
      return sum &+ counts.drops &+ counts.clears
    }
    violations.check(dropped > 0, "nothing was dropped: nothing was tested")
    if test.signals {
      let wrong = SignalledCacheLookup.end()
      violations.check(wrong == 0, "\(wrong) answers in handlers were wrong")
    }
    try cache.close(timeout: StressDuration.generous)
    violations.expectNone(test.testDescription)
  }

  /// A few keys change; when that has settled no CPU may find what they were.
  private func change(_ random: inout SeededGenerator) {
    var keys: Set<Int> = []
    for _ in 0...random.below(test.batch) { keys.insert(random.below(test.keys)) }
    for key in keys { table.storeReleasing(key, table.load(key) + 1) }
    let isEverything = random.oneIn(16)
    let ticket = isEverything ? cache.invalidateAll() : cache.invalidate(keys.map { UInt64($0) })
    let outcome = ticket.wait(until: .covered, timeout: StressDuration.generous)
    violations.check(outcome == .settled, "an invalidation did not settle: \(outcome)")
    guard outcome == .settled else { return }
    for key in keys { settled.storeReleasing(key, table.load(key)) }
  }

  func ask(_ key: UInt64) -> UInt64? { table.loadAcquiring(Int(key)) }

  /// What was found at a key is of this key, and not older than what had settled before.
  func isRight(_ key: Int, _ value: UInt64?, _ before: UInt64) -> Bool {
    guard let value else { return false }
    return value >> 32 == UInt64(key) && value >= before && value <= table.loadAcquiring(key)
  }

  func settledChange(_ key: Int) -> UInt64 { settled.loadAcquiring(key) }

  /// Any key of the test, for a number that may be anything.
  func key(_ number: UInt64) -> Int { Int(number % UInt64(test.keys)) }

  /// An isolated CPU, for a while: sections with a few lookups, and user.
  private func read(_ number: Int, _ random: inout SeededGenerator) {
    // Another thread may have it, where two take turns.
    guard let cpu = try? coordinator.attach(to: number) else {
      sched_yield()
      return
    }
    let local = cache.open(on: cpu)
    for _ in 0..<50 where !stop.isSet {
      cpu.enterUser()
      look(random.below(test.keys)) { cache.lookUp($0, orIn: ask) }
      if random.oneIn(8) { sched_yield() }
      cpu.enterKernel()
      for _ in 0..<random.below(20) {
        look(random.below(test.keys)) { local.lookUp($0, on: cpu, orIn: ask) }
        if random.oneIn(8) { cpu.safePoint() }
      }
    }
    cpu.detach()
  }

  private func look(_ key: Int, _ lookUp: (UInt64) -> UInt64?) {
    let before = settledChange(key)
    let value = lookUp(UInt64(key))
    violations.check(
      isRight(key, value, before),
      "key \(key) was \(value.map { "\($0 >> 32), \($0 & 0xffff_ffff)" } ?? "nothing"), and change "
        + "\(before & 0xffff_ffff) had settled")
    found.add()
  }
}

/// Lookups by the handler of a timer's signal, on whatever thread it interrupts: in the middle of a fill
/// or of a lookup, in a drain, in user, and on the writer.
private enum SignalledCacheLookup {
  /// A reference that is never given back: a handler may be at it on another thread.
  private static let experiment = Atomic<UInt>(0)
  private static let wrong = Atomic<Int>(0)
  private static let next = Atomic<UInt64>(0)

  static func install(_ experiment: LookupExperiment) {
    let kept = unsafe UInt(bitPattern: Unmanaged.passRetained(experiment).toOpaque())
    self.experiment.store(kept, ordering: .releasing)
    AlarmTimer.start { _ in SignalledCacheLookup.handle() }
  }

  private static func handle() {
    let kept = unsafe UnsafeRawPointer(bitPattern: Self.experiment.load(ordering: .acquiring))
    guard let kept = unsafe kept else { return }
    let experiment = unsafe Unmanaged<LookupExperiment>.fromOpaque(kept).takeUnretainedValue()
    let key = experiment.key(next.wrappingAdd(1, ordering: .relaxed).oldValue &* 7)
    let before = experiment.settledChange(key)
    let value = experiment.cache.lookUp(UInt64(key), orIn: experiment.ask)
    if !experiment.isRight(key, value, before) { wrong.wrappingAdd(1, ordering: .relaxed) }
  }

  static func end() -> Int {
    AlarmTimer.stop()
    experiment.store(0, ordering: .relaxed)
    return wrong.load(ordering: .relaxed)
  }
}

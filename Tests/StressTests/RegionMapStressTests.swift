// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Regions that come, go, are split and merged while they are looked up: every answer was so at
  /// some instant of the call.
  @Suite(.serialized) struct RegionMaps {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var readers = 2
      var writers = 1
      var slots = 40
      /// Readers are interrupted, and their handlers look up as well.
      var signals = false
      var testDescription: String {
        "seed \(seed): \(readers) readers, \(writers) writers, \(slots) slots"
          + (signals ? ", interrupted" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 401),
      Case(seed: 402, readers: 1, writers: 2, slots: 2),
      Case(seed: 403, readers: 4, writers: 3),
      Case(seed: 404, readers: 2, writers: 2, slots: 2000),
      Case(seed: 405, readers: 2, writers: 1, slots: 8, signals: true),
    ])
    func answersWereTrue(_ test: Case) throws { try RegionExperiment(test).run() }
  }
}

/// A slot has 16 addresses, and a version that says which of them are mapped, and to what. Its
/// writer notes the version before and after it makes it so; a reader looks at both round its
/// lookup.
private final class RegionExperiment: Sendable {
  struct Stamp: BitwiseCopyable, Sendable, Equatable {
    var slot: UInt64
    var version: UInt64
    var check: UInt64

    init(slot: UInt64, version: UInt64) {
      (self.slot, self.version) = (slot, version)
      check = ~(slot &* 31 &+ version)
    }
  }

  private let test: StressTests.RegionMaps.Case
  private let map: RegionMap<Stamp>
  private let begun: WordTable
  private let done: WordTable
  private let stop = SharedFlag()
  private let violations = Violations()
  private let found = SharedCounter()
  private let absent = SharedCounter()

  init(_ test: StressTests.RegionMaps.Case) throws {
    self.test = test
    // Two a slot, and one more while one of them is split.
    map = try RegionMap(capacity: test.slots * 3)
    begun = WordTable(test.slots)
    done = WordTable(test.slots)
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.6))
    if test.signals { SignalledLookup.install(map) }
    let readers = (0..<test.readers).map { index in
      TestThread { [self] in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !stop.isSet { look(at: random.below(test.slots), UInt64(random.below(16)), &random) }
      }
    }
    TestThread.run(test.writers) { [self] writer in
      var random = SeededGenerator(seed: test.seed, stream: 100 + writer)
      var rounds = 0
      while !until.isOver || rounds < 200 {
        // Each slot has one writer.
        let slot =
          random.below((test.slots + test.writers - 1) / test.writers) * test.writers
          + writer
        if slot < test.slots { change(slot, &random) }
        if random.oneIn(16) { sched_yield() }
        rounds += 1
      }
    }
    // Readers meet what is there at the end, too.
    stop.set()
    for reader in readers { reader.join() }
    for slot in 0..<test.slots { checkEnd(slot) }
    let counts = map.statistics
    violations.check(
      found.value > 0 && absent.value > 0 && counts.hits > 0 && counts.locked > 0,
      "\(found.value) found, \(absent.value) absent, \(counts): nothing was tested")
    if test.signals {
      let (wrong, asked) = SignalledLookup.end()
      violations.check(wrong == 0 && asked > 0, "\(wrong) of \(asked) in handlers were wrong")
    }
    violations.expectNone(test.testDescription)
  }

  /// What is mapped at a version: nothing at every third, else a region up to some address, and
  /// after it at every fifth another one with the same version.
  private func bounds(_ slot: Int, _ version: UInt64) -> [Range<UInt64>] {
    let first = UInt64(slot) * 16
    if version % 3 == 0 { return [] }
    let cut = first + 1 + version * 7 % 14
    return version % 5 == 0 ? [first..<cut, cut..<first + 16] : [first..<cut]
  }

  private func change(_ slot: Int, _ random: inout SeededGenerator) {
    let version = done.load(slot) + 1
    begun.storeReleasing(slot, version)
    let first = UInt64(slot) * 16
    // Between these steps the slot is neither here nor there: readers allow for each of them.
    map.removeAll(overlapping: first..<first + 16)
    for bounds in bounds(slot, version) {
      let outcome = map.insert(Stamp(slot: UInt64(slot), version: version), over: bounds)
      violations.check(outcome == .inserted, "slot \(slot), version \(version): \(outcome)")
    }
    done.storeReleasing(slot, version)
    // One that changes no answer but the bounds.
    if random.oneIn(4), let region = bounds(slot, version).first, region.count > 2 {
      begun.storeReleasing(slot, version + 1)
      _ = map.split(at: region.lowerBound + 1)
      _ = map.merge(at: region.lowerBound + 1)
      begun.storeReleasing(slot, version)
    }
  }

  private func look(at slot: Int, _ offset: UInt64, _ random: inout SeededGenerator) {
    let address = UInt64(slot) * 16 + offset
    let isSpeculative = random.oneIn(2)
    let first = done.loadAcquiring(slot)
    let region = isSpeculative ? map.lookUpSpeculatively(address) : map.lookUp(address)
    // What the writer had begun before our call was over.
    atomicMemoryFence(ordering: .acquiring)
    let last = begun.loadAcquiring(slot)
    guard let region else {
      if isSpeculative { return }
      absent.add()
      // Nothing there: at a version, or between two of them.
      violations.check(
        first != last || !bounds(slot, first).contains { $0.contains(address) },
        "\(address) was not found, and was there all the time at version \(first)")
      return
    }
    found.add()
    let stamp = region.value
    violations.check(
      stamp == Stamp(slot: UInt64(slot), version: stamp.version), "a mixture: \(region)")
    violations.check(region.bounds.contains(address), "\(address) is not in \(region.bounds)")
    violations.check(
      first <= stamp.version && stamp.version <= max(first, last),
      "\(region) at \(address): versions \(first) to \(last) were there")
    // A piece of what the version says, where that was being split.
    violations.check(
      bounds(slot, stamp.version).contains {
        $0.lowerBound <= region.bounds.lowerBound && region.bounds.upperBound <= $0.upperBound
      }, "\(region) is no part of \(bounds(slot, stamp.version))")
  }

  private func checkEnd(_ slot: Int) {
    let version = done.load(slot)
    for offset in 0..<16 as Range<UInt64> {
      let address = UInt64(slot) * 16 + offset
      let expected = bounds(slot, version).first { $0.contains(address) }
      violations.check(
        map.lookUp(address)?.bounds == expected, "slot \(slot), version \(version), at \(offset)")
    }
  }
}

/// Lookups by the handler of a timer's signal, on whatever thread it interrupts: writers in the
/// middle of a change, and readers that hold the lock.
private enum SignalledLookup {
  /// A reference that is never given back: a handler may be at it on another thread.
  private static let map = Atomic<UInt>(0)
  private static let wrong = Atomic<Int>(0)
  private static let asked = Atomic<Int>(0)
  private static let next = Atomic<UInt64>(0)

  static func install(_ map: RegionMap<RegionExperiment.Stamp>) {
    let kept = unsafe UInt(bitPattern: Unmanaged.passRetained(map).toOpaque())
    self.map.store(kept, ordering: .releasing)
    AlarmTimer.start { _ in SignalledLookup.handle() }
  }

  private static func handle() {
    let kept = unsafe UnsafeRawPointer(bitPattern: Self.map.load(ordering: .acquiring))
    guard let kept = unsafe kept else { return }
    let map = unsafe Unmanaged<RegionMap<RegionExperiment.Stamp>>.fromOpaque(kept)
      .takeUnretainedValue()
    let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
    asked.wrappingAdd(1, ordering: .relaxed)
    guard let region = map.lookUpSpeculatively(number % 128) else { return }
    let stamp = region.value
    if stamp != RegionExperiment.Stamp(slot: stamp.slot, version: stamp.version) {
      wrong.wrappingAdd(1, ordering: .relaxed)
    }
  }

  static func end() -> (wrong: Int, asked: Int) {
    AlarmTimer.stop()
    map.store(0, ordering: .relaxed)
    return (wrong.load(ordering: .relaxed), asked.load(ordering: .relaxed))
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Places of probe points that come and go while threads hit their addresses: a hit runs the probe of its
  /// own place, and none when the place's removal has returned.
  @Suite(.serialized) struct ProbeAddresses {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var hitters = 2
      var writers = 1
      var places = 64
      /// The object goes and comes, too.
      var remaps = false
      var testDescription: String {
        "seed \(seed): \(hitters) hitters, \(writers) writers, \(places) places"
          + (remaps ? ", regions that come and go" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 701),
      Case(seed: 702, writers: 2, places: 6),
      Case(seed: 703, hitters: 3, places: 500, remaps: true),
    ])
    func noPlaceIsAnothers(_ test: Case) throws { try ProbeAddressExperiment(test).run() }
  }
}

/// Each place has a point of its own, whose probe says which place it is. A writer says that a place is
/// there before it inserts it, and that it is not after its removal has returned.
private final class ProbeAddressExperiment: Sendable {
  private let test: StressTests.ProbeAddresses.Case
  private let registry: ProbeRegistry
  private let table: ProbeRegistry.AddressTable
  private let points: [ProbePoint<UInt64>]
  private let isThere: WordTable
  private let violations = Violations()
  private let stop = SharedFlag()
  private let ran = SharedCounter()
  private let unknown = SharedCounter()
  private let object: UInt64 = 11

  init(_ test: StressTests.ProbeAddresses.Case) throws {
    self.test = test
    registry = try ProbeRegistry(capacity: test.places)
    // Half of the places at a time, so that entries are used again all the time.
    table = try ProbeRegistry.AddressTable(
      of: registry, capacity: max(2, test.places / 2), regions: 4)
    let registry = self.registry
    points = (0..<test.places).map { ProbePoint<UInt64>("place\($0)", "place", in: registry) }
    isThere = WordTable(test.places)
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.6))
    violations.check(table.map(object, over: bounds) == .mapped, "no region")
    for (number, _) in points.enumerated() {
      try registry.attach(
        .call { [self] hit in
          violations.check(
            hit[0] == UInt64(number), "the probe of place \(number) ran for place \(hit[0])")
          violations.check(
            isThere.loadAcquiring(number) == 1, "place \(number) was hit after its removal")
        }, to: "place\(number)")
    }
    let hitters = (0..<test.hitters).map { index in
      TestThread { [self] in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !stop.isSet { hit(random.below(test.places)) }
      }
    }
    TestThread.run(test.writers) { [self] writer in
      var random = SeededGenerator(seed: test.seed, stream: 100 + writer)
      var rounds = 0
      while !until.isOver || rounds < 50 {
        // Each place has one writer.
        let place =
          random.below((test.places + test.writers - 1) / test.writers) * test.writers + writer
        if place < test.places { change(place) }
        if writer == 0, test.remaps, random.oneIn(32) { remap() }
        rounds += 1
      }
    }
    // Something has to be there at last, and to be hit.
    if !points.indices.contains(where: { isThere.load($0) == 1 }) { change(0) }
    let isTested = eventually { self.ran.value > 0 && self.unknown.value > 0 }
    stop.set()
    for hitter in hitters { hitter.join() }
    violations.check(isTested, "\(ran.value) hits ran: nothing was tested")
    let all = registry.remove(registry.probes, timeout: StressDuration.generous)
    violations.check(all == .removed, "\(all)")
    violations.expectNone(test.testDescription)
  }

  private var bounds: Range<UInt64> { 4096..<4096 + UInt64(test.places) }

  private func hit(_ place: Int) {
    switch table.hit(at: 4096 + UInt64(place), UInt64(place)) {
    case .ran: ran.add()
    case .unknown, .undecided: unknown.add()
    case .nested: violations.note("a hit of place \(place) was nested")
    }
  }

  private func change(_ place: Int) {
    if isThere.load(place) == 1 {
      let outcome = table.remove(
        at: UInt64(place), of: object, timeout: StressDuration.generous)
      violations.check(outcome == .removed, "place \(place): \(outcome)")
      isThere.storeReleasing(place, 0)
    } else {
      isThere.storeReleasing(place, 1)
      let outcome = table.insert(points[place], at: UInt64(place), of: object)
      if outcome == .full { isThere.storeReleasing(place, 0) }
      violations.check(outcome == .inserted || outcome == .full, "place \(place): \(outcome)")
    }
  }

  private func remap() {
    let gone = table.unmap(at: bounds.lowerBound)
    violations.check(gone == bounds, "\(String(describing: gone)) went")
    violations.check(table.map(object, over: bounds) == .mapped, "it did not come again")
  }
}

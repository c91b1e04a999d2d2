// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

// swift-format-ignore
private typealias PlainPoint = ProbePoint<Void>

@Suite("ProbeRegistry")
struct ProbeRegistryTests {
  private func registry() throws -> ProbeRegistry { try ProbeRegistry(capacity: 64) }

  @Test("a hit runs what is attached, from the attachment to the removal")
  func counting() throws {
    let registry = try registry()
    let point = ProbePoint<(UInt64, Int)>("router.lookUp", "key", "length", in: registry)
    point.hit(1, -1)
    #expect(!point.isAttached)
    let probe = try registry.attach(.count, to: "router.lookUp")
    #expect(point.isAttached)
    for _ in 0..<5 { point.hit(1, -1) }
    #expect(probe.hits == 5)
    #expect(registry.remove([probe]) == .removed)
    #expect(!point.isAttached)
    point.hit(1, -1)
    // What it has counted stays.
    #expect(probe.hits == 5)
    #expect(registry.remove([probe]) == .removed)
  }

  @Test("several probes on one point run in the order of attachment")
  func order() throws {
    let registry = try registry()
    let point = ProbePoint<UInt64>("p", "value", in: registry)
    let seen = Guarded<[String]>([])
    let first = try registry.attach(
      .call { hit in seen.withLock { $0.append("first \(hit[0])") } }, to: "p")
    let second = try registry.attach(
      .call { hit in seen.withLock { $0.append("second \(hit[0])") } }, to: "p")
    point.hit(7)
    registry.setEnabled([first], false)
    point.hit(8)
    registry.setEnabled([first], true)
    registry.setEnabled([first], true)
    point.hit(9)
    #expect(
      seen.withLock { $0 } == ["first 7", "second 7", "second 8", "first 9", "second 9"])
    #expect(first.hits == 2)
    #expect(second.hits == 3)
    #expect(registry.probes.count == 2)
    registry.remove([first, second])
    #expect(registry.probes.isEmpty)
  }

  @Test("arguments of every kind arrive as numbers of 64 bits")
  func arguments() throws {
    let registry = try registry()
    let point = ProbePoint<(UInt8, Int16, Int64, UInt)>("p", "a", "b", "c", "d", in: registry)
    let seen = Guarded<[UInt64]>([])
    try registry.attach(
      .call { hit in
        let values = (0..<hit.count).map { hit[$0] }
        seen.withLock { $0 = values }
      }, to: "p")
    point.hit(.max, -2, .min, .max)
    #expect(seen.withLock { $0 } == [255, .max - 1, 1 << 63, .max])
    let none = PlainPoint("nothing", in: registry)
    let probe = try registry.attach(.count, to: "nothing")
    none.hit()
    #expect(probe.hits == 1)
  }

  @Test("points are found by pattern, all or none")
  func patterns() throws {
    let registry = try registry()
    for name in ["router.lookUp", "router.insert", "cache.lookUp"] {
      _ = ProbePoint<UInt64>(name, "key", in: registry)
    }
    _ = PlainPoint("router.begin", in: registry)
    #expect(try registry.attach(.count, toAll: "*.lookUp").count == 2)
    #expect(try registry.attach(.count, toAll: "router.?nsert").count == 1)
    #expect(try registry.attach(.count, toAll: "*").count == 4)
    let before = registry.probes.count
    // One of them has no such argument: nothing is attached.
    #expect(throws: IsolationError.self) {
      try registry.attach(.counts(by: "key"), toAll: "router.*")
    }
    #expect(registry.probes.count == before)
    for (name, pattern, isMatch) in [
      ("", "", true), ("a", "", false), ("", "*", true), ("abc", "a*c", true),
      ("abc", "a*b", false), ("aXbXc", "a*b*c", true), ("abab", "*ab", true), ("ab", "a?b", false),
      ("a", "**", true),
    ] {
      #expect(
        ProbeRegistry.matches(Array(name.utf8), Array(pattern.utf8)) == isMatch,
        "\(name) \(pattern)")
    }
  }

  @Test("what is wrong is told, with the reason, and changes nothing")
  func refusals() throws {
    let registry = try ProbeRegistry(capacity: 2)
    _ = ProbePoint<UInt64>("p", "key", in: registry)
    func code(_ body: () throws(IsolationError) -> Void) -> IsolationError.Code? {
      do throws(IsolationError) {
        try body()
        return nil
      } catch {
        return error.code
      }
    }
    #expect(
      code { () throws(IsolationError) in try registry.attach(.count, to: "q") }
        == .noSuchProbePoint)
    #expect(
      code { () throws(IsolationError) in try registry.attach(.count, toAll: "q*") }
        == .noSuchProbePoint)
    #expect(
      code { () throws(IsolationError) in try registry.attach(.values(of: "x"), to: "p") }
        == .invalidProbe)
    #expect(
      code { () throws(IsolationError) in
        try registry.attach(.count, to: "p", filter: "colour == 3")
      } == .invalidProbe)
    #expect(
      code { () throws(IsolationError) in
        try registry.attach(.latency, to: "p", maximumActive: 0)
      } == .invalidProbe)
    try registry.attach(.count, to: "p")
    let second = try registry.attach(.count, to: "p")
    #expect(
      code { () throws(IsolationError) in try registry.attach(.count, to: "p") }
        == .tooManyProbes)
    registry.remove([second])
    try registry.attach(.count, to: "p")
    _ = PlainPoint("q", in: registry)
    let third = PlainPoint("r", in: registry)
    #expect(registry.refusedPoints == 1)
    third.hit()
    registry.close()
    #expect(code { () throws(IsolationError) in try registry.attach(.count, to: "p") } == .closed)
  }

  @Test("a filter decides by the arguments, and what it refuses is counted")
  func filters() throws {
    let registry = try registry()
    let point = ProbePoint<(UInt64, Int)>("p", "key", "length", in: registry)
    let probe = try registry.attach(.count, to: "p", filter: "key > 100 && length < 0")
    point.hit(101, -1)
    point.hit(100, -1)
    point.hit(101, 0)
    #expect(probe.hits == 1)
    #expect(probe.filtered == 2)
    // A filter that asks nothing.
    let all = try registry.attach(.count, to: "p", filter: "0")
    point.hit(0, 0)
    #expect(all.hits == 1)
  }

  @Test("a filter knows the CPU of the hitting thread")
  func filtersByCPU() throws {
    let registry = try registry()
    let point = PlainPoint("p", in: registry)
    let probe = try registry.attach(.count, to: "p", filter: "CPU & CPUS{1}")
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    configuration.pinning = .none
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    point.hit()
    for number in 0..<3 {
      let cpu = try coordinator.attach(to: number)
      point.hit()
      cpu.enterUser()
      point.hit()
      cpu.enterKernel()
      cpu.detach()
    }
    #expect(probe.hits == 2)
    #expect(probe.filtered == 5)
  }

  @Test("hits are counted by the value of an argument, and values in a histogram")
  func tallies() throws {
    let registry = try registry()
    let point = ProbePoint<UInt64>("p", "key", in: registry)
    let tally = try registry.attach(.counts(by: "key"), to: "p")
    let values = try registry.attach(.values(of: "key"), to: "p")
    for key in 0..<100 as Range<UInt64> { for _ in 0...key % 3 { point.hit(key) } }
    let counts = try #require(tally.counts)
    #expect(counts.count == 100)
    #expect(counts.allSatisfy { $0.value == $0.key % 3 + 1 })
    #expect(tally.overflowedCounts == 0)
    let histogram = try #require(values.histogram)
    #expect(histogram.count == values.hits)
    #expect(histogram.percentile(0) == 0)
    #expect((99...102).contains(histogram.percentile(100)))
    for key in 1000..<4000 as Range<UInt64> { point.hit(key) }
    let all = try #require(tally.counts).values.reduce(0, +) + tally.overflowedCounts
    #expect(all == tally.hits)
    #expect(tally.overflowedCounts > 0)
  }

  @Test("a scope's return is told with the arguments of its beginning, and its latency is measured")
  func scopes() throws {
    let registry = try registry()
    let point = ProbePoint<UInt64>("p", "key", in: registry)
    let seen = Guarded<[UInt64]>([])
    let latency = try registry.attach(.latency, to: "p")
    let calls = try registry.attach(
      .call(
        onEntry: { hit in seen.withLock { $0.append(hit[0]) } },
        onReturn: { hit in
          let isLong = hit.duration >= .milliseconds(2)
          seen.withLock { $0.append(hit[0] + (isLong ? 1000 : 0)) }
        }), to: "p")
    // Without a scope there is nothing to return from.
    point.hit(1)
    #expect(point.measure(2) { usleep(2000) } == 0)
    struct Thrown: Error {}
    #expect(throws: Thrown.self) { try point.measure(3) { throw Thrown() } }
    let outer = point.begin(4)
    let inner = point.begin(5)
    point.end(outer)
    point.end(inner)
    _ = point.begin(6)
    #expect(seen.withLock { $0 } == [2, 1002, 3, 3, 4, 5, 4, 5, 6])
    #expect(latency.hits == 4)
    #expect(calls.hits == 4)
    let histogram = try #require(latency.histogram)
    #expect(histogram.count == 4)
    #expect(histogram.percentile(100) >= 1_900_000)
    #expect(registry.summary.contains("p      latency"))
  }

  @Test("scopes beyond the maximum are missed, and each one is counted")
  func missed() throws {
    let registry = try ProbeRegistry(capacity: 4, activations: 5)
    let point = PlainPoint("p", in: registry)
    let two = try registry.attach(.latency, to: "p", maximumActive: 2)
    func nest(_ depth: Int) {
      if depth > 0 { point.measure { nest(depth - 1) } }
    }
    nest(5)
    #expect(two.hits == 2)
    #expect(two.missed == 3)
    // One that is dropped without an end gives its place back, too.
    for _ in 0..<4 { _ = point.begin() }
    nest(2)
    #expect(two.hits == 4)
    #expect(two.missed == 3)
    // As many as the registry has.
    let all = try registry.attach(.latency, to: "p")
    nest(9)
    #expect(all.hits + all.missed == 9)
    #expect(all.hits >= 3)
    nest(1)
    #expect(all.hits + all.missed == 10)
  }

  @Test("a scope outlives the probe that it began with, and returns to nobody")
  func outliving() throws {
    let registry = try ProbeRegistry(capacity: 4, activations: 2)
    let point = PlainPoint("p", in: registry)
    let told = Counter()
    for _ in 0..<10 {
      let probe = try registry.attach(.call(onReturn: { _ in told.increment() }), to: "p")
      let activation = point.begin()
      #expect(registry.remove([probe]) == .removed)
      let next = try registry.attach(.call(onReturn: { _ in told.increment() }), to: "p")
      point.end(activation)
      #expect(told.value == 0)
      #expect(next.hits == 0)
      registry.remove([next])
    }
  }

  @Test("a point that is hit in a handler runs nothing, and is counted")
  func nested() throws {
    let registry = try registry()
    let point = PlainPoint("p", in: registry)
    let other = PlainPoint("q", in: registry)
    let inner = try registry.attach(.count, to: "q")
    let probe = try registry.attach(
      .call { _ in
        other.hit()
        point.hit()
        other.measure {}
      }, to: "p")
    point.hit()
    #expect(probe.hits == 1)
    #expect(inner.hits == 0)
    #expect(registry.nestedHits == 3)
    other.hit()
    #expect(inner.hits == 1)
  }

  @Test("after the end hits run nothing, and are counted")
  func close() throws {
    let registry = try registry()
    let point = PlainPoint("p", in: registry)
    let probe = try registry.attach(.latency, to: "p")
    let activation = point.begin()
    #expect(registry.close() == .removed)
    point.end(activation)
    point.hit()
    point.measure {}
    let later = PlainPoint("later", in: registry)
    later.hit()
    #expect(registry.lateHits == 3)
    #expect(probe.hits == 0)
    #expect(registry.close() == .removed)
  }

  @Test("a removal waits for a handler, and says so if the time is over first")
  func removalWaits() throws {
    let registry = try registry()
    let point = PlainPoint("p", in: registry)
    let (isInside, mayLeave) = (Flag(), Flag())
    let probe = try registry.attach(
      .call { _ in
        isInside.raise()
        while !mayLeave.isRaised { sched_yield() }
      }, to: "p")
    let hitting = PlainThread.start { point.hit() }
    #expect(eventually { isInside.isRaised })
    let stuck = registry.stuck(for: .milliseconds(5))
    #expect(stuck.count == 1 && stuck[0].probe === probe && stuck[0].thread > 0)
    #expect(registry.remove([probe], timeout: .milliseconds(20)) == .timedOut)
    // Nobody finds it any more, though.
    point.hit()
    #expect(probe.hits == 1)
    mayLeave.raise()
    _ = try hitting.value()
    let other = try registry.attach(.count, to: "p")
    #expect(registry.remove([other]) == .removed)
    #expect(registry.state.withLock { $0.garbage.isEmpty })
  }

  @Test("an event of the point's name is recorded in the trace, with the arguments as fields")
  func tracing() throws {
    let registry = try registry()
    let point = ProbePoint<(UInt64, Int)>("router.lookUp", "key", "length", in: registry)
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    for round in 0..<2 as Range<UInt64> {
      let probe = try registry.attach(
        .trace(into: coordinator), to: "router.lookUp", filter: "key != 9")
      point.hit(7 + round, -1)
      point.hit(9, -1)
      #expect(probe.hits == 1)
      registry.remove([probe])
    }
    let snapshot = coordinator.tracer.snapshot()
    let events = snapshot.rings.flatMap(\.events)
    #expect(events.count == 2)
    #expect(snapshot.formats.contains { $0.name == "router_lookUp" && $0.fields.count == 6 })
    // Six arguments do not fit into a record.
    _ = ProbePoint<(Int, Int, Int, Int, Int, Int)>(
      "wide", "a", "b", "c", "d", "e", "f", in: registry)
    #expect(throws: IsolationError.self) {
      try registry.attach(.trace(into: coordinator), to: "wide")
    }
  }

  @Test("a declaration of the same point is the same point")
  func sameName() throws {
    let registry = try registry()
    let first = ProbePoint<UInt64>("p", "key", in: registry)
    let second = ProbePoint<UInt64>("p", "key", in: registry)
    let probe = try registry.attach(.count, to: "p")
    first.hit(1)
    second.hit(1)
    #expect(probe.hits == 2)
    #expect(registry.pointNames == ["p"])
  }

  @Test("buckets hold every value, one each, and a histogram adds up")
  func histogram() {
    var expected: UInt64 = 0
    for bucket in 0..<ProbeRegistry.Histogram.limit {
      let values = ProbeRegistry.Histogram.values(of: bucket)
      #expect(values.lowerBound == expected)
      #expect(ProbeRegistry.Histogram.bucket(of: values.lowerBound) == bucket)
      #expect(ProbeRegistry.Histogram.bucket(of: values.upperBound) == bucket)
      expected = values.upperBound &+ 1
    }
    #expect(expected == 0)
    var first = ProbeRegistry.Histogram()
    #expect(first.percentile(50) == 0)
    for value in 1...100 as ClosedRange<UInt64> { first.add(value) }
    var second = ProbeRegistry.Histogram()
    second.add(1_000_000)
    first += second
    #expect(first.count == 101)
    #expect((50...53).contains(first.percentile(50)))
    #expect((1_000_000...1_062_500).contains(first.percentile(100)))
    second += first
    #expect(second.count == 102)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

// swift-format-ignore
private typealias PlainPoint = ProbePoint<Void>

/// Scopes of a point whose only probe measures them: they take their thread's own activation.
@Suite("ProbePoint: what is measured alone")
struct ProbeMeasuringTests {
  @Test("a thread's first scope needs none of the registry's activations")
  func nested() throws {
    let registry = try ProbeRegistry(capacity: 4, activations: 1)
    let point = PlainPoint("p", in: registry)
    let probe = try registry.attach(.latency, to: "p")
    for round in 1...5 as ClosedRange<UInt64> {
      point.measure { point.measure { point.measure {} } }
      #expect(probe.hits == 2 * round)
      #expect(probe.missed == round)
    }
    #expect(try #require(probe.histogram).count == 10)
    // The same where the arguments do not travel in registers.
    let wide = ProbePoint<(UInt64, UInt64, UInt64, UInt64, UInt64)>(
      "wide", "a", "b", "c", "d", "e", in: registry)
    let other = try registry.attach(.latency, to: "wide")
    wide.measure(1, 2, 3, 4, 5) { wide.measure(1, 2, 3, 4, 5) { wide.measure(1, 2, 3, 4, 5) {} } }
    #expect(other.hits == 2)
    #expect(other.missed == 1)
  }

  @Test(
    "scopes that another thread ends are counted once each, and their thread has its activation again"
  )
  func endedElsewhere() throws {
    let registry = try ProbeRegistry(capacity: 4, activations: 1)
    let point = PlainPoint("p", in: registry)
    let probe = try registry.attach(.latency, to: "p")
    let site = point.site
    // The scope on its way to the other thread; 0 is none, and all ones the last.
    let handed = Handed()
    let ender = PlainThread.start {
      while true {
        let chain = handed.chain.load(ordering: .acquiring)
        if chain == .max { return }
        if chain != 0 {
          handed.chain.store(0, ordering: .relaxed)
          ProbeCore.end(site, UInt(chain), isAbandoned: false)
        } else {
          sched_yield()
        }
      }
    }
    func hand(_ chain: UInt64) {
      while handed.chain.load(ordering: .relaxed) != 0 { sched_yield() }
      handed.chain.store(chain, ordering: .releasing)
    }
    let rounds: UInt64 = 5000
    var begun: UInt64 = 0
    for _ in 0..<rounds {
      // The one before may be ending meanwhile.
      let chain = ProbeCore.begin(site, 0, 0, 0, 0)
      if chain == 0 { continue }
      begun += 1
      hand(UInt64(chain))
    }
    hand(.max)
    try ender.value()
    #expect(begun > 1)
    #expect(probe.hits == begun)
    #expect(probe.missed == rounds - begun)
    point.measure { point.measure {} }
    #expect(probe.hits == begun + 2)
    #expect(probe.missed == rounds - begun)
  }

  @Test("a scope that outlives its probe is not counted for the next one")
  func outliving() throws {
    let registry = try ProbeRegistry(capacity: 4)
    let point = PlainPoint("p", in: registry)
    for _ in 0..<10 {
      let probe = try registry.attach(.latency, to: "p")
      let activation = point.begin()
      #expect(registry.remove([probe]) == .removed)
      let next = try registry.attach(.latency, to: "p")
      point.end(activation)
      #expect(probe.hits == 0)
      #expect(next.hits == 0)
      point.measure {}
      #expect(next.hits == 1)
      registry.remove([next])
    }
  }

  @Test("where a second probe is attached both have the scope, and where one is left it has")
  func joined() throws {
    let registry = try ProbeRegistry(capacity: 4)
    let point = PlainPoint("p", in: registry)
    let first = try registry.attach(.latency, to: "p")
    point.measure {}
    let second = try registry.attach(.latency, to: "p", maximumActive: 8)
    point.measure {}
    registry.remove([first])
    point.measure {}
    registry.setEnabled([second], false)
    point.measure {}
    #expect(first.hits == 2)
    #expect(second.hits == 2)
  }
}

/// A scope on its way from one thread to another.
private final class Handed: Sendable {
  let chain = Atomic<UInt64>(0)
}

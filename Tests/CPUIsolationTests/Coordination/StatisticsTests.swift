// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Statistics")
struct StatisticsTests {
  @Test("counts are kept per CPU and per type, and add up")
  func perCPU() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let threads = try [1, 2].map { try ScriptedThread(coordinator, on: $0) }
    let (first, second) = (
      try coordinator.register("first") { _ in }, try coordinator.register("second") { _ in }
    )
    for thread in threads { try thread.enterUser() }
    coordinator.send(first, to: 1)
    coordinator.send(first, to: 1)
    coordinator.send(second, to: [1, 2])
    try threads[0].enterKernel()
    let statistics = coordinator.statistics()
    #expect(statistics[first, on: 1].sent == 2)
    #expect(statistics[first, on: 1].merged == 1)
    #expect(statistics[first, on: 1].executed == 1)
    #expect(statistics[first, on: 2] == Coordinator.Statistics.Work())
    #expect(statistics[second, on: 1].executed == 1)
    #expect(statistics[second, on: 2].pending == 1)
    #expect(statistics[second].sent == 2)
    #expect(statistics[second].deferred == 2)
    // A snapshot stays what it was.
    try threads[1].enterKernel()
    #expect(statistics[second].pending == 1)
    #expect(coordinator.statistics()[second].pending == 0)
    for thread in threads { try thread.end() }
  }

  @Test("every transition counts, quiescent states are apart")
  func transitions() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let before = coordinator.statistics()[cpu: 1]
    try cpu.run { cpu in
      for _ in 0..<10 { cpu.inUser {} }
      for _ in 0..<3 { cpu.declareQuiescent() }
      cpu.inGuest {}
      cpu.idle(for: .zero)
    }
    let after = coordinator.statistics()[cpu: 1]
    #expect(after.transitions == before.transitions + 24)
    #expect(after.quiescentStates == before.quiescentStates + 3)
    try cpu.end()
  }

  @Test("the next thread's transitions do not depend on what the last one did")
  func transitionsAfterReuse() throws {
    let coordinator = try Coordinator(.scripted())
    func transitions() throws -> UInt64 {
      let cpu = try ScriptedThread(coordinator, on: 1)
      let before = coordinator.statistics()[cpu: 1].transitions
      try cpu.run { cpu in for _ in 0..<10 { cpu.inUser {} } }
      let after = coordinator.statistics()[cpu: 1].transitions
      try cpu.run { cpu in for _ in 0..<100 { cpu.declareQuiescent() } }
      try cpu.end()
      return after - before
    }
    #expect(try transitions() == 20)
    #expect(try transitions() == 20)
  }

  @Test("calls are counted per CPU")
  func calls() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let stop = Flag()
    let loop = cpu.startPolling(until: stop)
    for _ in 0..<5 { coordinator.call(on: [1], timeout: .seconds(20)) { _ in } }
    stop.raise()
    try loop.value()
    #expect(coordinator.call(on: [1], timeout: .zero) { _ in }[.timedOut] == [1])
    try cpu.poll()
    let calls = coordinator.statistics()[cpu: 1].calls
    #expect(calls.sent == 6)
    #expect(calls.gone == 1)
    #expect(calls.executed == 5)
    #expect(calls.interrupted == 6)
    #expect(calls.pending == 0)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("ages are measured where a watchdog looks, and nowhere else", arguments: [false, true])
  func oldestPending(isWatched: Bool) throws {
    var configuration = Coordinator.Configuration.scripted()
    if isWatched {
      configuration.watchdog = .init()
      configuration.watchdog?.interval = .milliseconds(1)
    }
    let coordinator = try Coordinator(configuration)
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = try coordinator.register("work") { _ in }
    #expect(coordinator.statistics()[work].oldestPending == nil)
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    if isWatched {
      #expect(
        eventually { coordinator.statistics()[work].oldestPending ?? .zero > .milliseconds(15) })
    } else {
      #expect(coordinator.statistics()[work].oldestPending == nil)
    }
    try cpu.enterKernel()
    let counts = coordinator.statistics()[work]
    #expect(counts.oldestPending == nil)
    #expect(counts.ages.counts.reduce(0, +) == 1)
    #expect(counts.ages.counts[0] == (isWatched ? 0 : 1))
    if isWatched { #expect(counts.ages.counts[2...].reduce(0, +) == 1) }
    try cpu.end()
  }

  @Test(
    "an age falls into the bucket of its decade",
    arguments: [
      (0, 1), (1, 1), (10_000_000, 1), (10_000_001, 2), (100_000_000, 2), (1_000_000_000, 3),
      (1_000_000_001, 4), (10_000_000_000, 4), (100_000_000_000, 5), (1_000_000_000_000, 6),
      (1_000_000_000_001, 7), (.max, 7),
    ] as [(UInt64, Int)])
  func bucket(nanoseconds: UInt64, bucket: Int) {
    #expect(CPUSlot.ageBucket(ofNanoseconds: nanoseconds) == bucket)
    #expect(Coordinator.Statistics.AgeHistogram().counts.count == 8)
  }

  @Test("histograms add bucket by bucket")
  func addition() {
    var (first, second) = (
      Coordinator.Statistics.AgeHistogram(), Coordinator.Statistics.AgeHistogram()
    )
    first.buckets[1] = 2
    second.buckets[1] = 3
    second.buckets[7] = 1
    first += second
    #expect(first.counts == [0, 5, 0, 0, 0, 0, 0, 1])
  }
}

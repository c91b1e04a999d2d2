// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite struct CrossCallPoolTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  /// Counts how many are made and how many have ended.
  private final class Parcel: Sendable {
    let number: Int
    private let ended: Counter
    init(_ number: Int, _ ended: Counter) { (self.number, self.ended) = (number, ended) }
    deinit { ended.increment() }
  }

  @Test("messages arrive in their order, each once, on their CPU")
  func inOrder() throws {
    let arrived = Journal<Int>()
    let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 8) { number, cpu in
      arrived.append(100 * cpu + number)
    }
    let local = calls.register()!
    try cpu.enterUser()
    for number in 1...5 { #expect(local.post(number, on: 1) == .queued) }
    #expect(calls.post(6, on: 1) == .queued)
    #expect(arrived.entries.isEmpty)
    #expect(calls.statistics.total.free == 2)
    try cpu.poll()
    #expect(arrived.entries == [101, 102, 103, 104, 105, 106])
    #expect(calls.statistics.total.free == 8)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("while all records are under way a post is refused, and its message ends")
  func busy() throws {
    let (ended, runs) = (Counter(), Counter())
    let calls = try CrossCallPool(coordinator, of: Parcel.self, capacity: 2) { _, _ in
      runs.increment()
    }
    let local = calls.register()!
    try cpu.enterUser()
    #expect(local.post(Parcel(1, ended), on: 1) == .queued)
    #expect(calls.post(Parcel(2, ended), on: 1) == .queued)
    #expect(local.post(Parcel(3, ended), on: 1) == .busy)
    #expect(calls.post(Parcel(4, ended), on: 1) == .busy)
    #expect(ended.value == 2)
    try cpu.poll()
    #expect(runs.value == 2)
    #expect(ended.value == 4)
    #expect(local.post(Parcel(5, ended), on: 1) == .queued)
    try cpu.enterKernel()
    #expect(runs.value == 3)
    try cpu.end()
  }

  @Test("what finds nobody, or a closed coordinator, comes home with its message ended")
  func nobody() throws {
    let (ended, runs) = (Counter(), Counter())
    let calls = try CrossCallPool(coordinator, of: Parcel.self, capacity: 2) { _, _ in
      runs.increment()
    }
    for number in 1...20 { #expect(calls.post(Parcel(number, ended), on: 2) == .gone) }
    #expect(ended.value == 20)
    try cpu.end()
    coordinator.close()
    #expect(calls.post(Parcel(21, ended), on: 1) == .closed)
    #expect(ended.value == 21)
    #expect(runs.value == 0)
    #expect(calls.statistics.total.free == 2)
  }

  @Test("a call may post the next one, to its own CPU too")
  func nested() throws {
    final class Relay: Sendable {
      let calls = Guarded<CrossCallPool<Int>?>(nil)
    }
    let (relay, arrived) = (Relay(), Journal<Int>())
    let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 2) { left, cpu in
      arrived.append(left)
      if left > 0 { relay.calls.withLock { $0 }?.post(left - 1, on: cpu) }
    }
    relay.calls.withLock { $0 = calls }
    try cpu.enterUser()
    #expect(calls.post(3, on: 1) == .queued)
    #expect(
      try eventually {
        try cpu.poll()
        return arrived.entries == [3, 2, 1, 0]
      })
    #expect(calls.statistics.total.free == 2)
    relay.calls.withLock { $0 = nil }
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("what is under way when the pool goes out of scope arrives, and then the memory goes")
  func outlivesThePool() throws {
    let (ended, arrived) = (Counter(), Journal<Int>())
    let keeper = Parcel(0, ended)
    try cpu.enterUser()
    do {
      let calls = try CrossCallPool(coordinator, of: Parcel.self, capacity: 4) { [keeper] in
        arrived.append($0.number + keeper.number + 10 * $1)
      }
      #expect(calls.post(Parcel(1, ended), on: 1) == .queued)
      #expect(calls.post(Parcel(2, ended), on: 1) == .queued)
    }
    #expect(ended.value == 0)
    try cpu.poll()
    #expect(arrived.entries == [11, 12])
    #expect(ended.value == 2)
    withExtendedLifetime(keeper) {}
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a registration finds nothing when its pool has gone")
  func registrationOutlivesThePool() throws {
    let ended = Counter()
    var calls: CrossCallPool<Parcel>? = try CrossCallPool(coordinator, capacity: 4) { _, _ in }
    let local = calls!.register()!
    calls = nil
    #expect(local.post(Parcel(1, ended), on: 1) == .busy)
    #expect(ended.value == 1)
    try cpu.end()
  }

  @Test("threads that come and go: each message arrives or ends, and every record comes home")
  func comingAndGoing() throws {
    try cpu.end()
    let (ended, runs) = (Counter(), Counter())
    let calls = try CrossCallPool(coordinator, of: Parcel.self, capacity: 16) { _, _ in
      runs.increment()
    }
    let stop = Flag()
    let coordinator = coordinator
    let owner = PlainThread.start {
      while !stop.isRaised {
        guard let local = try? coordinator.attach(to: 1) else { continue }
        local.user { local.poll() }
        local.detach()
      }
    }
    // Enough of them, and until some have met a thread.
    @Sendable func postMany(_ post: (Parcel) -> CallOutcome) -> Int {
      var number = 0
      while number < 5_000 || runs.value == 0 {
        _ = post(Parcel(number, ended))
        number += 1
      }
      return number
    }
    let posters = (0..<3).map { index in
      PlainThread.start {
        if index == 0 { return postMany { calls.post($0, on: 1) } }
        let local = calls.register()!
        return postMany { local.post($0, on: 1) }
      }
    }
    let posted = try posters.reduce(0) { try $0 + $1.value() }
    stop.raise()
    try owner.value()
    // Nobody is there: what is left in the queue ends with the next thread.
    try coordinator.attach(to: 1).detach()
    #expect(ended.value == posted)
    #expect(runs.value <= posted)
    #expect(calls.statistics.total.free == 16)
  }
}

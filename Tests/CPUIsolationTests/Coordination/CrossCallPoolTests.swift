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
    try cpu.enterUser()
    for number in 1...6 { #expect(calls.post(number, on: 1) == .queued) }
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
    try cpu.enterUser()
    #expect(calls.post(Parcel(1, ended), on: 1) == .queued)
    #expect(calls.post(Parcel(2, ended), on: 1) == .queued)
    #expect(calls.post(Parcel(3, ended), on: 1) == .busy)
    #expect(ended.value == 1)
    try cpu.poll()
    #expect(runs.value == 2)
    #expect(ended.value == 3)
    #expect(calls.post(Parcel(4, ended), on: 1) == .queued)
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
    try cpu.enterUser()
    do {
      // Held by what the pool's calls hold.
      let keeper = Parcel(0, ended)
      let calls = try CrossCallPool(coordinator, of: Parcel.self, capacity: 4) {
        arrived.append($0.number + keeper.number + 10 * $1)
      }
      #expect(calls.post(Parcel(1, ended), on: 1) == .queued)
      #expect(calls.post(Parcel(2, ended), on: 1) == .queued)
    }
    #expect(ended.value == 0)
    try cpu.poll()
    #expect(arrived.entries == [11, 12])
    #expect(ended.value == 3)
    try cpu.enterKernel()
    try cpu.end()
  }

  /// A message that is posted again when it ends undelivered, a few times.
  private final class Letter: Sendable {
    let left: Int
    let relay: Relay
    init(_ left: Int, _ relay: Relay) { (self.left, self.relay) = (left, relay) }
    deinit {
      relay.ended.increment()
      if left > 0 { relay.calls.withLock { $0 }?.post(Letter(left - 1, relay), on: 1) }
    }
  }

  private final class Relay: Sendable {
    let calls = Guarded<CrossCallPool<Letter>?>(nil)
    let ended = Counter()
  }

  @Test("a message may post again while it ends, to a CPU that nobody is attached to")
  func endsByPosting() throws {
    let relay = Relay()
    let calls = try CrossCallPool(coordinator, of: Letter.self, capacity: 8) { _, _ in }
    relay.calls.withLock { $0 = calls }
    try cpu.end()
    #expect(calls.post(Letter(5, relay), on: 1) == .gone)
    #expect(relay.ended.value == 6)
    #expect(calls.statistics.total.free == 8)
    relay.calls.withLock { $0 = nil }
  }

  @Test("a CPU is reached in its own way before anybody has attached to it")
  func firstCall() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.isolatedInterrupter = .signal
    configuration.pinning = .none
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let reach = Reach(
      rawValue: coordinator.core.slots[1].state.reach.load(ordering: .relaxed))
    #expect(reach.interrupter == .signal)
    #expect(reach.threadID == 0)
    let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 1) { _, _ in }
    #expect(calls.post(1, on: 1) == .gone)
    #expect(unsafe coordinator.post(CrossCall(context: nil) { _, _ in }, on: 1) == .gone)
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
        local.inUser { local.poll() }
        local.detach()
      }
    }
    // Enough of them, and until some have met a thread.
    let posters = (0..<3).map { _ in
      PlainThread.start {
        var number = 0
        while number < 5_000 || runs.value == 0 && number < 50_000_000 {
          calls.post(Parcel(number, ended), on: 1)
          number += 1
        }
        return number
      }
    }
    let posted = try posters.reduce(0) { try $0 + $1.value() }
    stop.raise()
    try owner.value()
    #expect(ended.value == posted)
    #expect(runs.value > 0 && runs.value <= posted)
    #expect(calls.statistics.total.free == 16)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("GracePeriodCallbacks")
struct GracePeriodCallbacksTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let journal = Guarded<[Int]>([])

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 1))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  private var ran: [Int] { journal.withLock { $0 } }

  private func retire(_ number: Int, to callbacks: GracePeriodCallbacks)
    -> GracePeriodCallbacks.Outcome
  {
    callbacks.retire { [journal] in journal.withLock { $0.append(number) } }
  }

  @Test("a callback runs when each CPU has left its section, and not before")
  func waits() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 8, runsThread: false)
    #expect(retire(1, to: callbacks) == .accepted)
    #expect(callbacks.runReady() == 0)
    #expect(callbacks.runReady() == 0)
    #expect(ran == [] && callbacks.pending == 1)
    // Retired after the beginning of the grace period: it waits for the next one.
    #expect(retire(2, to: callbacks) == .accepted)
    try cpu.run { $0.declareQuiescent() }
    #expect(callbacks.runReady() == 1)
    #expect(ran == [1] && callbacks.pending == 1)
    try cpu.enterUser()
    #expect(callbacks.runReady() == 1)
    #expect(ran == [1, 2] && callbacks.pending == 0)
    #expect(callbacks.runReady() == 0)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("an isolated CPU in user has passed, and is not disturbed")
  func isolatedInUser() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 8, runsThread: false)
    try cpu.enterUser()
    let word = coordinator.core.slots[1].state.word.load(ordering: .relaxed)
    for number in 0..<5 { #expect(retire(number, to: callbacks) == .accepted) }
    #expect(callbacks.runReady() == 5)
    #expect(ran == [0, 1, 2, 3, 4])
    let after = coordinator.core.slots[1].state.word.load(ordering: .relaxed)
    #expect(word == after)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a full ring says so, and takes the next when there is room")
  func full() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 2, runsThread: false)
    #expect(retire(1, to: callbacks) == .accepted)
    #expect(retire(2, to: callbacks) == .accepted)
    #expect(retire(3, to: callbacks) == .full)
    let waited = callbacks.retireWaiting(timeout: .milliseconds(10)) {}
    #expect(waited == .full)
    try cpu.enterUser()
    let accepted = callbacks.retireWaiting(timeout: .seconds(20)) { [journal] in
      journal.withLock { $0.append(4) }
    }
    #expect(accepted == .accepted)
    #expect(callbacks.barrier(timeout: .seconds(20)) == .settled)
    #expect(ran == [1, 2, 4])
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a callback may retire the next one, and the ring goes round")
  func fromCallback() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 1, runsThread: false)
    try cpu.enterUser()
    let refused = Counter()
    for round in 0..<10 {
      let outcome = callbacks.retire { [journal] in
        journal.withLock { $0.append(round) }
        // The slot is still this callback's own.
        if callbacks.retire({}) == .full { refused.increment() }
      }
      #expect(outcome == .accepted)
      #expect(callbacks.runReady() == 1)
    }
    #expect(ran == Array(0..<10))
    #expect(refused.value == 10)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a C function gets its context")
  func function() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 4, runsThread: false)
    try cpu.enterUser()
    let counter = Counter()
    let outcome = unsafe callbacks.retire(context: counter.context) { context in
      unsafe Unmanaged<Counter>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.increment() }
    }
    #expect(outcome == .accepted)
    callbacks.runReady()
    #expect(counter.value == 1)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a thread of its own runs them, on no isolated CPU")
  func thread() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 16)
    let threads = Guarded<Set<Int32>>([])
    for _ in 0..<100 {
      let outcome = callbacks.retireWaiting(timeout: .milliseconds(1)) { [coordinator] in
        #expect(coordinator.currentCPU == nil)
        threads.withLock { _ = $0.insert(CurrentThread.id) }
      }
      if outcome == .full { break }
    }
    // One CPU stays in kernel: nothing may run.
    #expect(threads.withLock { $0.isEmpty })
    #expect(callbacks.pending == 16)
    try cpu.enterUser()
    #expect(eventually { callbacks.pending == 0 })
    #expect(threads.withLock { $0.count } == 1)
    #expect(threads.withLock { !$0.contains(CurrentThread.id) })
    try cpu.enterKernel()
    try cpu.end()
    #expect(callbacks.close(timeout: .seconds(20)) == .settled)
    #expect(callbacks.retire {} == .closed)
  }

  @Test("nothing that a section has found is freed before it ends, whoever retires meanwhile")
  func sections() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 8)
    let nodes = Nodes()
    let stop = Flag()
    try cpu.enterUser()
    let reader = cpu.start { cpu in
      var sections = 0
      repeat {
        cpu.enterKernel()
        let found = nodes.current.load(ordering: .acquiring)
        for _ in 0..<5 {
          if nodes.freed.load(ordering: .acquiring) > found { nodes.violations.increment() }
          Flag.pause()
        }
        cpu.enterUser()
        sections += 1
      } while !stop.isRaised
      return sections
    }
    let noise = PlainThread.start {
      while !stop.isRaised { _ = callbacks.retireWaiting(timeout: .milliseconds(1)) {} }
    }
    for number in 0..<1000 {
      nodes.current.store(number + 1, ordering: .releasing)
      let outcome = callbacks.retireWaiting {
        nodes.freed.store(number + 1, ordering: .releasing)
      }
      #expect(outcome == .accepted)
    }
    #expect(callbacks.barrier(timeout: .seconds(20)) == .settled)
    stop.raise()
    try noise.value()
    #expect(try reader.value() > 0)
    #expect(nodes.freed.load(ordering: .relaxed) == 1000)
    #expect(nodes.violations.value == 0)
    try cpu.enterKernel()
    try cpu.end()
    #expect(callbacks.close(timeout: .seconds(20)) == .settled)
  }

  /// A list of one node at a time: `current` is linked, and those below `freed` are no more.
  private final class Nodes: Sendable {
    let current = Atomic<Int>(0)
    let freed = Atomic<Int>(0)
    let violations = Counter()
  }

  @Test("who lets go of it loses no callback")
  func letGo() throws {
    do {
      let callbacks = try GracePeriodCallbacks(coordinator, capacity: 16)
      for number in 0..<8 { #expect(retire(number, to: callbacks) == .accepted) }
    }
    #expect(ran == [])
    try cpu.enterUser()
    #expect(eventually { ran.count == 8 })
    #expect(ran == Array(0..<8))
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a housekeeper that waits for the barrier holds nothing up")
  func housekeepersBarrier() throws {
    let callbacks = try GracePeriodCallbacks(coordinator, capacity: 16)
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    try cpu.enterUser()
    #expect(retire(1, to: callbacks) == .accepted)
    let end = try housekeeper.run { _ in callbacks.barrier(timeout: .seconds(20)) }
    #expect(end == .settled)
    #expect(ran == [1])
    try housekeeper.end()
    try cpu.enterKernel()
    #expect(retire(2, to: callbacks) == .accepted)
    #expect(callbacks.barrier(timeout: .milliseconds(20)) == .timedOut([1]))
    try cpu.end()
    #expect(callbacks.close(timeout: .seconds(20)) == .settled)
    #expect(ran == [1, 2])
  }
}

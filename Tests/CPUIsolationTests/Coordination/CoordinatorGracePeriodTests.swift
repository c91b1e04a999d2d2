// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Coordinator.GracePeriod")
struct CoordinatorGracePeriodTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  @Test(
    "a CPU that is away is not waited for", arguments: [CPUContext.user, .guest, .idle, .offline])
  func away(context: CPUContext) throws {
    let mayReturn = Flag()
    let step: Step<Void>? =
      switch context {
      case .user: cpu.start { cpu in cpu.inUser { mayReturn.wait() } }
      case .guest: cpu.start { cpu in cpu.inGuest { mayReturn.wait() } }
      case .idle: cpu.start { $0.idle() }
      default: nil
      }
    if context == .offline { try cpu.end() }
    #expect(eventually { coordinator.context(of: 1) == context })
    try coordinator.synchronize(timeout: .zero).get()
    var gracePeriod = coordinator.startGracePeriod()
    let isOver = gracePeriod.poll()
    #expect(isOver)
    #expect(coordinator.context(of: 1) == context)
    mayReturn.raise()
    if context == .idle { coordinator.call(on: [1]) { _ in } }
    try step?.value()
    if context != .offline { try cpu.end() }
  }

  @Test("a CPU in kernel is waited for, and named when the deadline comes")
  func kernel() throws {
    let start = ContinuousClock.now
    let end = coordinator.synchronize(timeout: .milliseconds(20))
    #expect(end == .timedOut([1]))
    let error = coordinatorError { try end.get() }
    #expect(error?.code == .timedOut)
    #expect(error?.message == "cannot wait: CPUs 1 held it up for the whole time")
    #expect(ContinuousClock.now - start >= .milliseconds(20))
    try cpu.end()
  }

  enum Passage: CaseIterable { case exit, quiescent, idle, guest, detach }

  @Test(
    "a CPU in kernel passes when it leaves or declares a quiescent state",
    arguments: Passage.allCases)
  func passes(passage: Passage) throws {
    let wait = PlainThread.start { [coordinator] in
      Result { try coordinator.synchronize(timeout: .seconds(30)).get() }
    }
    var gracePeriod = coordinator.startGracePeriod()
    let isOverBefore = gracePeriod.poll()
    #expect(!isOverBefore)
    #expect(gracePeriod.stragglers == [1])
    switch passage {
    case .exit: try cpu.run { $0.inUser {} }
    case .quiescent: try cpu.run { $0.declareQuiescent() }
    case .idle: try cpu.run { $0.idle(for: .zero) }
    case .guest: try cpu.run { $0.inGuest {} }
    case .detach: try cpu.end()
    }
    let isOverAfter = gracePeriod.poll()
    #expect(isOverAfter)
    // The waiter may have begun after the passage; then the next one is its.
    #expect(
      try eventually {
        if passage != .detach { try cpu.run { $0.declareQuiescent() } }
        return wait.isOver
      })
    try wait.value().get()
    if passage != .detach { try cpu.end() }
  }

  @Test("a safe point is no passage: the CPU may hold something still")
  func safePoint() throws {
    var gracePeriod = coordinator.startGracePeriod()
    try cpu.safePoint()
    try cpu.run { cpu in cpu.inKernel {} }
    let isOver = gracePeriod.poll()
    #expect(!isOver)
    try cpu.end()
  }

  @Test("a section that begins later is not waited for")
  func laterSection() throws {
    try cpu.enterUser()
    var gracePeriod = coordinator.startGracePeriod()
    try cpu.enterKernel()
    let isOver = gracePeriod.poll()
    #expect(isOver)
    try cpu.end()
  }

  @Test("a helper at work is waited for, though its CPU is in user")
  func pinned() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let slow = try coordinator.register("slow", options: options) { _ in
      begun.raise()
      mayEnd.wait()
    }
    try cpu.enterUser()
    let help = PlainThread.start { [coordinator] in
      coordinator.send(slow, to: 1, urgency: .onBehalf)
    }
    begun.wait()
    #expect(
      coordinatorError { try coordinator.synchronize(timeout: .milliseconds(20)).get() }?.code
        == .timedOut)
    mayEnd.raise()
    _ = try help.value()
    try coordinator.synchronize(timeout: .seconds(20)).get()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a handler at work is waited for, whichever way it was reached", arguments: [false, true])
  func handler(byPoll: Bool) throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let slow = try coordinator.register("slow") { _ in
      begun.raise()
      mayEnd.wait()
    }
    try cpu.enterUser()
    coordinator.send(slow, to: 1, urgency: byPoll ? .immediate : .deferrable)
    let step = cpu.start { if byPoll { $0.poll() } else { $0.enterKernel() } }
    begun.wait()
    #expect(
      coordinatorError { try coordinator.synchronize(timeout: .milliseconds(20)).get() }?.code
        == .timedOut)
    mayEnd.raise()
    try step.value()
    if byPoll { try coordinator.synchronize(timeout: .seconds(20)).get() }
    if byPoll { try cpu.enterKernel() }
    try cpu.end()
  }

  @Test("two housekeepers may wait for each other")
  func mutual() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0, 1], isolated: [])
    configuration.watchdog = nil
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let threads = try [0, 1].map { try ScriptedThread(coordinator, on: $0) }
    for _ in 0..<20 {
      let arrived = Counter()
      let steps = threads.map { thread in
        thread.start { _ in
          arrived.increment()
          while arrived.value < 2 { Flag.pause() }
          let result = Result { try coordinator.synchronize(timeout: .seconds(30)).get() }
          arrived.increment()
          // Who is through first goes on passing quiescent states, as a housekeeping loop does.
          while arrived.value < 4 {
            _ = try? coordinator.synchronize(timeout: .milliseconds(1)).get()
          }
          return result
        }
      }
      for step in steps { try step.value().get() }
    }
    for thread in threads { try thread.end() }
  }

  @Test("what was unlinked before is not seen after", arguments: [50])
  func unlinked(rounds: Int) throws {
    let (linked, stop, seenFreed) = (Atomically(), Flag(), Counter())
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        cpu.inUser {}
        // A section: looks once, holds what it saw, and looks at it again.
        let node = linked.node.load(ordering: .relaxed)
        Flag.pause()
        if node <= linked.freed.load(ordering: .relaxed) { seenFreed.increment() }
      }
    }
    for round in 1...rounds {
      linked.node.store(round + 1, ordering: .relaxed)
      try coordinator.synchronize(timeout: .seconds(20)).get()
      linked.freed.store(round, ordering: .relaxed)
    }
    stop.raise()
    try loop.value()
    #expect(seenFreed.value == 0)
    try cpu.end()
  }

  private final class Atomically: Sendable {
    let node = Atomic<Int>(1)
    let freed = Atomic<Int>(0)
  }

  @Test("a task suspends until it is over, or its time is")
  func asynchronous() async throws {
    var late = coordinator.startGracePeriod()
    #expect(try await late.wait(timeout: .milliseconds(20)) == .timedOut([1]))
    #expect(late.stragglers == [1])
    let gracePeriod = coordinator.startGracePeriod()
    let task = Task { () throws -> WaitOutcome in
      var gracePeriod = gracePeriod
      return try await gracePeriod.wait(timeout: .seconds(30))
    }
    try cpu.enterUser()
    #expect(try await task.value == .settled)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a cancelled task stops waiting")
  func cancelled() async throws {
    let gracePeriod = coordinator.startGracePeriod()
    let task = Task { () throws -> WaitOutcome in
      var gracePeriod = gracePeriod
      return try await gracePeriod.wait()
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    try cpu.end()
  }
}

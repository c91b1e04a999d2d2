// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// `pthread_exit` skips every `defer` and `deinit` of the thread's frames: what the thread was in is
/// settled by its end.
@Suite("Ends of threads that skip what comes after")
struct ThreadExitTests {
  let coordinator: Coordinator

  init() throws { coordinator = try Coordinator(.scripted(isolated: 2)) }

  /// Where a body is when its thread ends.
  enum Place: CaseIterable { case kernel, section, user, nested }

  @Test(
    "a launched body that ends its thread: it can be joined, and its CPU is free",
    arguments: Place.allCases)
  func launchedBody(place: Place) throws {
    let thread = try coordinator.launch(on: 1) { cpu in
      switch place {
      case .kernel: endThread()
      case .section: cpu.inKernel { endThread() }
      case .user: cpu.inUser { endThread() }
      case .nested: cpu.inUser { cpu.inKernel { cpu.inKernel { endThread() } } }
      }
    }
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    #expect(coordinator.attached.isEmpty)
    #expect(coordinator.context(of: 1) == .offline)
    try ScriptedThread(coordinator, on: 1).end()
    #expect(coordinator.close(timeout: .seconds(60)) == .settled)
  }

  @Test("such a body leaves no reference to its coordinator", arguments: [false, true])
  func references(isLaunched: Bool) throws {
    func used() throws -> () -> Coordinator? {
      let coordinator = try Coordinator(.scripted())
      if isLaunched {
        try coordinator.launch(on: 1) { cpu in cpu.inUser { endThread() } }.join()
      } else {
        Self.attachAndExit(coordinator)
        #expect(eventually { coordinator.attached.isEmpty })
      }
      return { [weak coordinator] in coordinator }
    }
    let coordinator = try used()
    #expect(eventually { coordinator() == nil })
  }

  /// Has a thread of the program attach, and end without having detached.
  private static func attachAndExit(_ coordinator: Coordinator) {
    let isAttached = Flag()
    let context = unsafe Unmanaged.passRetained(Visit(coordinator, isAttached)).toOpaque()
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { context in
        // The frame that is skipped has no reference of its own.
        unsafe Unmanaged<Visit>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.attach() }
        endThread()
        return nil
      }, context)
    precondition(error == 0)
    pthread_join(thread, nil)
    #expect(isAttached.isRaised)
    unsafe Unmanaged<Visit>.fromOpaque(context).release()
  }

  private final class Visit: Sendable {
    let coordinator: Coordinator
    let isAttached: Flag
    init(_ coordinator: Coordinator, _ isAttached: Flag) {
      (self.coordinator, self.isAttached) = (coordinator, isAttached)
    }
    func attach() {
      guard let cpu = try? coordinator.attachHandle(to: 1) else { return }
      isAttached.raise()
      cpu.enterUser()
    }
  }

  @Test(
    "work that a thread has taken and ends in is gone, and what it has run is not", arguments: 1...3
  )
  func takenWork(types: Int) throws {
    let runs = Counter()
    let works = try (0..<types).map { number in
      // The last but one ends the thread: one before it has run, one after it has not.
      try coordinator.register("type \(number)") { _ in
        if number == max(types - 2, 0) { endThread() }
        runs.increment()
      }
    }
    let isInUser = Flag()
    let isSent = Flag()
    let thread = try coordinator.launch(on: 1) { cpu in
      cpu.inUser {
        isInUser.raise()
        isSent.wait()
      }
    }
    isInUser.wait()
    for work in works { #expect(coordinator.send(work, to: 1) == .deferred) }
    isSent.raise()
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    #expect(runs.value == (types == 3 ? 1 : 0))
    for work in works { coordinator.expectBalance(of: work, sent: 1) }
    #expect(coordinator.close(timeout: .seconds(60)) == .settled)
  }

  @Test("a call that ends its thread is gone, and so are those after it")
  func call() throws {
    let (runs, mayPoll) = (Counter(), Flag())
    let thread = try coordinator.launch(on: 1) { cpu in
      mayPoll.sleepUntilRaised()
      cpu.inUser { while true { cpu.poll() } }
    }
    let pool = try CrossCallPool(coordinator, of: Int.self, capacity: 2) { _, _ in runs.increment()
    }
    #expect(pool.post(1, on: 1) == .queued)
    let first = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(60)) { _ in endThread() }
    }
    let second = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(60)) { _ in endThread() }
    }
    let slot = coordinator.core.slots[1]
    #expect(eventually { !slot.call.calls.isEmpty })
    usleep(50_000)
    mayPoll.raise()
    #expect(try first.value()[.gone] == [1])
    #expect(try second.value()[.gone] == [1])
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    #expect(pool.statistics.total.free == 2)
    #expect(runs.value == 0)
    #expect(coordinator.call(on: [1], timeout: .seconds(60)) { _ in }[.gone] == [1])
  }

  @Test("a message that ends its thread: its record comes home")
  func pooledCall() throws {
    let pool = try CrossCallPool(coordinator, of: Int.self, capacity: 1) { _, _ in endThread()
    }
    let thread = try coordinator.launch(on: 1) { cpu in cpu.inUser { while true { cpu.poll() } } }
    #expect(eventually { coordinator.context(of: 1) == .user })
    #expect(pool.post(1, on: 1) == .queued)
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    #expect(eventually { pool.statistics.total.free == 1 })
  }

  @Test("a caller that ends inside its own turn takes its call back first")
  func inlineCall() throws {
    let target = try ScriptedThread(coordinator, on: 2)
    let runs = Counter()
    let thread = try coordinator.launch(on: 1) { [coordinator] _ in
      coordinator.call(on: [1, 2]) { cpu in
        if cpu == 1 { endThread() }
        runs.increment()
      }
    }
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    try target.safePoint()
    #expect(runs.value == 0, "the closure was in a frame that has gone")
    #expect(coordinator.call(on: [2], timeout: .milliseconds(1)) { _ in }[.timedOut] == [2])
    try target.safePoint()
    try target.end()
  }

  @Test("a helper that ends inside the handler lets the CPU go, and the work is pending again")
  func helper() throws {
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let runs = Counter()
    let isDeadly = Flag()
    let work = try coordinator.register("deadly", options: options) { _ in
      if !isDeadly.isRaised {
        isDeadly.raise()
        endThread()
      }
      runs.increment()
    }
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    _ = PlainThread.start { [coordinator] in coordinator.send(work, to: 1, urgency: .onBehalf) }
    #expect(eventually { isDeadly.isRaised })
    #expect(eventually { coordinator.core.slots[1].state.pin.load(ordering: .relaxed) == 0 })
    #expect(coordinator.statistics()[work].pending == 1)
    #expect(coordinator.synchronize(timeout: .seconds(60)) == .settled)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("what a helper had run before it ended does not run again")
  func helperOfTwo() throws {
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let runs = Counter()
    let isDeadly = Flag()
    let first = try coordinator.register("first", options: options) { _ in runs.increment() }
    let deadly = try coordinator.register("deadly", options: options) { _ in
      if !isDeadly.isRaised {
        isDeadly.raise()
        endThread()
      }
    }
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    for work in [first, deadly] { #expect(coordinator.send(work, to: 1) == .deferred) }
    let slot = coordinator.core.slots[1]
    _ = PlainThread.start { [coordinator] in
      let types: UInt64 = 1 << first.type | 1 << deadly.type
      _ = Drain(coordinator.core, slot).drainOnBehalf(types, helper: CurrentThread.id)
    }
    #expect(eventually { isDeadly.isRaised })
    #expect(eventually { slot.state.pin.load(ordering: .relaxed) == 0 })
    #expect(runs.value == 1)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    for work in [first, deadly] { coordinator.expectBalance(of: work, sent: 1) }
    try cpu.end()
  }
}

/// Ends the calling thread, as code of a C library might that is called.
private func endThread() { pthread_exit(nil) }

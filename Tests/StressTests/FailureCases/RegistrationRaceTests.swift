// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// Two threads unregister one type at once: one of them does, and its bit is free once.
  @Test func unregisteredTwiceAtOnce() throws {
    let violations = Violations()
    for round in 0..<StressDuration.rounds(30) {
      let coordinator = try Coordinator.quiet(isolated: [0, 1]) { $0.watchdog = nil }
      let all = try (0..<WorkType.capacity).map { try coordinator.register("\($0)") { _ in } }
      let inKernel = SharedFlag()
      let mayLeave = SharedFlag()
      // A CPU in kernel makes both of them wait.
      let thread = try coordinator.launch(on: 0) { local in
        inKernel.set()
        while !mayLeave.isSet { sched_yield() }
      }
      let started = SharedCounter()
      let succeeded = SharedCounter()
      let rivals = (0..<2).map { index in
        TestThread {
          started.add()
          do throws(IsolationError) {
            try coordinator.unregister(all[3], timeout: StressDuration.generous)
            succeeded.add()
          } catch {
            violations.check(error.code == .workTypeUnregistered, "\(error)")
          }
        }
      }
      _ = eventually { started.value == 2 && inKernel.isSet }
      usleep(200)
      mayLeave.set()
      for rival in rivals { rival.join() }
      thread.join()
      violations.check(succeeded.value >= 1, "round \(round): nobody could unregister")
      // One bit is free now, and one only.
      let heirs = (0..<2).map { index in try? coordinator.register("heir \(index)") { _ in } }
      let bits = heirs.compactMap { $0?.bit }
      violations.check(bits == [3], "round \(round): the heirs of bit 3 have bits \(bits)")
    }
    violations.expectNone("two threads")
  }

  /// Everybody registers at once: no bit is given twice.
  @Test func registeredAtOnce() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let works = Guarded<[WorkType]>([])
    let refused = SharedCounter()
    TestThread.run(8) { _ in
      for _ in 0..<10 {
        do throws(IsolationError) {
          let work = try coordinator.register("work") { _ in }
          works.withLock { $0.append(work) }
        } catch {
          if error.code == .tooManyWorkTypes { refused.add() }
        }
      }
    }
    let bits = works.withLock { $0.map(\.bit) }
    #expect(Set(bits).count == bits.count)
    #expect(bits.count == WorkType.capacity)
    #expect(refused.value == 80 - WorkType.capacity)
  }

  /// A type is unregistered while its bit waits: the bit is withdrawn, whoever waits for its ticket is not left alone.
  @Test func unregisteredWhilePending() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let runs = SharedCounter()
    let work = try coordinator.register("work") { _ in runs.add() }
    let local = try coordinator.attach(to: 0)
    local.inUser {
      let ticket = coordinator.sendWithTicket(work, to: [0])
      #expect(ticket.report[.deferred] == [0])
      let withdrawn = try? coordinator.unregister(work, timeout: .seconds(20))
      #expect(withdrawn == [0])
      #expect(
        ticket.wait(until: .executed, timeout: .milliseconds(100)) == .settled,
        "it will never be executed now: a waiter without deadline would wait for ever")
    }
    #expect(runs.value == 0)
    local.detach()
    let counts = coordinator.statistics()[work]
    #expect(counts.sent == 1 && counts.gone == 1 && counts.pending == 0, "\(counts)")
  }

  /// A type is unregistered while its handler runs: the call returns when the handler has.
  @Test func unregisteredWhileDraining() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let isRunning = SharedFlag()
    let mayReturn = SharedFlag()
    let hasReturned = SharedFlag()
    let work = try coordinator.register("work") { _ in
      isRunning.set()
      while !mayReturn.isSet { sched_yield() }
      hasReturned.set()
    }
    let stop = SharedFlag()
    let thread = try coordinator.launch(on: 0) { local in
      while !stop.isSet { local.inUser { _ = sched_yield() } }
    }
    coordinator.send(work, to: 0)
    #expect(eventually { isRunning.isSet })
    do {
      try coordinator.unregister(work, timeout: .milliseconds(20))
      Issue.record("unregistered under a running handler")
    } catch {
      #expect(error.code == .timedOut)
    }
    #expect(coordinator.send(work, to: 0) == .rejected(.unregistered))
    mayReturn.set()
    try coordinator.unregister(work, timeout: StressDuration.generous)
    #expect(hasReturned.isSet)
    stop.set()
    thread.join()
  }

  /// A type that gets the bit of one which two threads are ending runs: neither of them takes a
  /// step that meets the new type.
  @Test func theNextTypeOfABitRuns() throws {
    let coordinator = try Coordinator.quiet(isolated: [0]) { $0.watchdog = nil }
    let runs = SharedCounter()
    for _ in 1..<WorkType.capacity { _ = try coordinator.register("other") { _ in } }
    var work = try coordinator.register("first") { _ in runs.add() }
    let violations = Violations()
    let stop = SharedFlag()
    // A CPU in kernel, so that each grace period takes a moment.
    let thread = try coordinator.launch(on: 0) { local in
      while !stop.isSet {
        local.safePoint()
        local.declareQuiescent()
        sched_yield()
      }
    }
    for round in 1...StressDuration.rounds(300) {
      let old = work
      let next = Guarded<WorkType?>(nil)
      let started = SharedCounter()
      TestThread.run(2) { _ in
        started.add()
        while started.value < 2 { continue }
        do throws(IsolationError) {
          try coordinator.unregister(old, timeout: StressDuration.generous)
        } catch {
          violations.check(error.code == .workTypeUnregistered, "\(error)")
        }
        // While the other one may still be at it.
        if let new = try? coordinator.register("next", { _ in runs.add() }) {
          let isSecond = next.withLock { known in
            defer { known = new }
            return known != nil
          }
          violations.check(!isSecond, "round \(round): one bit was given to two types")
        }
      }
      guard let new = next.withLock({ $0 }) else {
        violations.note("round \(round): the bit is not free")
        break
      }
      work = new
      coordinator.send(work, to: 0)
      guard eventually(within: .seconds(20), { runs.value == round }) else {
        violations.note("round \(round): \(runs.value) runs")
        break
      }
    }
    stop.set()
    thread.join()
    violations.expectNone("two threads end each type")
  }

  /// Two threads, and a hundred, want the same CPU.
  @Test func attachedAtOnce() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let inside = SharedCounter()
    let violations = Violations()
    TestThread.run(8) { _ in
      for _ in 0..<200 {
        guard let local = try? coordinator.attach(to: 0) else {
          sched_yield()
          continue
        }
        violations.check(inside.add() == 1, "two threads are CPU 0")
        local.inUser {}
        inside.add(-1)
        local.detach()
      }
    }
    violations.expectNone("8 threads")
  }
}

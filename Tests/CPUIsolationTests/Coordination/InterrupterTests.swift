// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

/// Real interrupts: what a signal does to a thread that is somewhere else.
@Suite("Interrupter", .needsQueuedSignals)
struct InterrupterTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2, .signal))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  /// Has the CPU stay in user, with nothing but a loop, until the counter has reached a number.
  func spinInUser(until counter: Counter, is count: Int) -> Step<Void> {
    let step = cpu.start { cpu in
      cpu.inUser { while counter.value < count { Flag.pause() } }
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    return step
  }

  @Test("a loop that looks at nothing is interrupted, and stays in user")
  func interrupted() throws {
    let work = try coordinator.registerSafe(counting: runs)
    let loop = spinInUser(until: runs, is: 100)
    for round in 1...99 {
      #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
      #expect(eventually { runs.value == round })
      #expect(eventually { coordinator.context(of: 1) == .user })
    }
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try loop.value()
    coordinator.expectBalance(of: work, sent: 100)
    #expect(coordinator.statistics()[work].interrupted == 100)
    try cpu.end()
  }

  @Test("the handler runs in kernel, as a full entry and exit")
  func context() throws {
    final class Seen: Sendable { let word = SharedWord(0), runs = Counter() }
    let seen = Seen()
    let before = coordinator.statistics()[cpu: 1].transitions
    let loop = spinInUser(until: seen.runs, is: 1)
    let report = coordinator.call(on: [1], timeout: .seconds(20), isInterruptSafe: true) {
      [core = coordinator.core] cpu in
      let word = core.slots[cpu].state.word.load(ordering: .relaxed)
      seen.word.store(word, ordering: .relaxed)
      seen.runs.increment()
    }
    #expect(report[.executed] == [1])
    try loop.value()
    #expect(ContextWord(rawValue: seen.word.load(ordering: .relaxed)).context == .kernel)
    // Out, in and out by the handler, in again.
    #expect(coordinator.statistics()[cpu: 1].transitions == before + 4)
    try cpu.end()
  }

  @Test("nobody kicks a CPU whose thread has left")
  func gone() throws {
    try cpu.end()
    let call = unsafe CrossCall(context: runs.context, isInterruptSafe: true, Counter.function)
    #expect(coordinator.post(call, on: 1) == .gone)
    #expect(coordinator.statistics()[cpu: 1].calls.interrupted == 0)
    #expect(runs.value == 0)
  }

  /// The calls of such a CPU are in one queue, also those that are not safe.
  @Test(
    "a signal does nothing to a CPU that is kicked in another way",
    arguments: [Interrupter.park, .poll])
  func stray(interrupter: Interrupter) throws {
    let other = try Coordinator(.scripted(isolated: 1, interrupter))
    let thread = try ScriptedThread(other, on: 1)
    let isQueued = Flag()
    let step = thread.start { [runs, signal = coordinator.signal] cpu in
      cpu.inUser {
        isQueued.wait()
        // The thread inherits what the test's thread blocks. To itself: the handler has run when this
        // returns.
        _ = cpi_unblock_signal(signal)
        _ = unsafe CurrentThread.interrupt(
          CurrentThread.id, signal: signal, cpu: other.core.slots[1].base
        ) { _ in }
        return runs.value
      }
    }
    #expect(eventually { other.context(of: 1) == .user })
    let call = unsafe CrossCall(context: runs.context, isInterruptSafe: false, Counter.function)
    #expect(other.post(call, on: 1) == .queued)
    isQueued.raise()
    #expect(try step.value() == 0)
    try thread.safePoint()
    #expect(runs.value == 1)
    try thread.end()
    try cpu.end()
  }

  @Test("only what declares itself safe runs in the handler; the rest waits for the next entry")
  func safeOnly() throws {
    let unsafeRuns = Counter()
    let safe = try coordinator.registerSafe(counting: runs)
    let plain = try coordinator.register("plain", counting: unsafeRuns)
    let mayEnter = Flag()
    let step = cpu.start { cpu in cpu.inUser { mayEnter.wait() } }
    #expect(eventually { coordinator.context(of: 1) == .user })
    #expect(coordinator.send(safe, to: 1) == .deferred)
    #expect(coordinator.send(plain, to: 1, urgency: .immediate) == .interrupted)
    #expect(eventually { runs.value == 1 })
    #expect(coordinator.statistics()[plain].pending == 1)
    #expect(unsafeRuns.value == 0)
    // The kick was answered: another one may come.
    #expect(eventually { !ContextTracker(coordinator.core.slots[1]).isAttentionWanted })
    mayEnter.raise()
    try step.value()
    #expect(unsafeRuns.value == 1)
    for work in [safe, plain] { coordinator.expectBalance(of: work, sent: 1) }
    try cpu.end()
  }

  @Test("a call that is not safe waits for a safe point, whatever is interrupted meanwhile")
  func patientCall() throws {
    let (journal, mayEnter) = (Journal<String>(), Flag())
    let safe = try coordinator.registerSafe(counting: runs)
    let step = cpu.start { cpu in
      cpu.inUser {
        mayEnter.wait()
        journal.append("enters")
      }
      journal.append("has entered")
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    let call = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(30)) { _ in journal.append("call") }
    }
    #expect(eventually { coordinator.statistics()[cpu: 1].calls.pending == 1 })
    #expect(coordinator.statistics()[cpu: 1].calls.interrupted == 0)
    coordinator.send(safe, to: 1, urgency: .immediate)
    #expect(eventually { runs.value == 1 })
    #expect(!call.isOver)
    mayEnter.raise()
    try step.value()
    #expect(try call.value()[.executed] == [1])
    #expect(journal.entries == ["enters", "call", "has entered"])
    try cpu.end()
  }

  @Test("a thread in kernel is not disturbed: it finds the work on its way out")
  func inKernel() throws {
    let work = try coordinator.registerSafe(counting: runs)
    let (entered, mayLeave) = (Flag(), Flag())
    let runs = runs
    let step = cpu.start { cpu in
      let inSection = cpu.inKernel {
        cpu.inKernel {
          entered.raise()
          mayLeave.wait()
          return runs.value
        }
      }
      let behindSection = runs.value
      return cpu.inUser { [inSection, behindSection, runs.value] }
    }
    entered.wait()
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    #expect(eventually { coordinator.statistics()[cpu: 1].idleInterrupts > 0 })
    mayLeave.raise()
    #expect(try step.value() == [0, 0, 1])
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("a section in user keeps its balance when it is interrupted", arguments: [1, 2])
  func sectionInUser(depth: Int) throws {
    let work = try coordinator.registerSafe(counting: runs)
    let (entered, mayLeave) = (Flag(), Flag())
    let runs = runs
    let step = cpu.start { cpu in
      cpu.inUser {
        let inside = cpu.inKernel {
          let wait: () -> Int = {
            entered.raise()
            mayLeave.wait()
            return runs.value
          }
          return depth == 1 ? wait() : cpu.inKernel(wait)
        }
        return [inside, runs.value]
      }
    }
    entered.wait()
    coordinator.send(work, to: 1, urgency: .immediate)
    #expect(eventually { coordinator.statistics()[cpu: 1].idleInterrupts > 0 })
    mayLeave.raise()
    #expect(try step.value() == [0, 1])
    #expect(coordinator.context(of: 1) == .kernel)
    try cpu.end()
  }

  @Test("a safe handler may send: to its own CPU for later, to others at once, and all is counted")
  func sendFromHandler() throws {
    let second = try ScriptedThread(coordinator, on: 2)
    try second.enterUser()
    let others = Counter()
    let plain = try coordinator.register("plain", counting: others)
    let outcomes = Outcomes()
    let loop = spinInUser(until: runs, is: 1)
    let report = coordinator.call(on: [1], timeout: .seconds(20), isInterruptSafe: true) {
      [coordinator, runs] cpu in
      outcomes.own.store(coordinator.send(plain, to: cpu) == .queued, ordering: .relaxed)
      outcomes.other.store(coordinator.send(plain, to: 2) == .deferred, ordering: .relaxed)
      runs.increment()
    }
    #expect(report[.executed] == [1])
    try loop.value()
    let (own, other) = (
      outcomes.own.load(ordering: .relaxed), outcomes.other.load(ordering: .relaxed)
    )
    #expect(own && other)
    #expect(others.value == 1)
    try second.enterKernel()
    #expect(others.value == 2)
    coordinator.expectBalance(of: plain, sent: 2)
    try second.end()
    try cpu.end()
  }

  private final class Outcomes: Sendable {
    let own = Atomic<Bool>(false)
    let other = Atomic<Bool>(false)
  }

  @Test("a thread that blocked the signal is reached all the same")
  func unblocked() throws {
    let signal = coordinator.signal
    let mayEnd = Flag()
    let ready = Flag()
    let thread = PlainThread.start { [coordinator] in
      Result {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, signal)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        let cpu = try coordinator.attach(to: 2)
        cpu.inUser {
          ready.raise()
          mayEnd.wait()
        }
        cpu.detach()
      }
    }
    ready.wait()
    let report = coordinator.call(on: [2], timeout: .seconds(30), isInterruptSafe: true) { _ in }
    #expect(report[.executed] == [2])
    mayEnd.raise()
    try thread.value().get()
    try cpu.end()
  }

  @Test("signals at any point of many transitions lose nothing", arguments: [1, 2])
  func storm(senders: Int) throws {
    let work = try coordinator.registerSafe(counting: runs)
    let plainRuns = Counter()
    let plain = try coordinator.register("plain", counting: plainRuns)
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        cpu.inUser {}
        cpu.inUser { cpu.inKernel { cpu.inKernel {} } }
        cpu.inGuest {}
      }
    }
    let storms = (0..<senders).map { _ in
      PlainThread.start { [coordinator] in
        for round in 0..<2_000 {
          coordinator.send(work, to: 1, urgency: .immediate)
          coordinator.send(plain, to: 1, urgency: round % 2 == 0 ? .immediate : .deferrable)
        }
      }
    }
    for storm in storms { try storm.value() }
    stop.raise()
    try loop.value()
    try cpu.safePoint()
    for (work, runs) in [(work, runs), (plain, plainRuns)] {
      coordinator.expectBalance(of: work, sent: UInt64(2_000 * senders))
      #expect(coordinator.statistics()[work].pending == 0)
      #expect(coordinator.statistics()[work].executed == UInt64(runs.value))
    }
    #expect(coordinator.context(of: 1) == .kernel)
    try cpu.end()
  }
}

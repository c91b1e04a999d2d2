// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// Threads that sleep where no futex reaches them.
@Suite("Foreign sleepers")
struct ForeignSleeperTests {
  let runs = Counter()

  @Test(
    "a call reaches an isolated CPU asleep in poll", arguments: [Interrupter.park, .poll, .signal])
  func call(interrupter: Interrupter) throws {
    let coordinator = try Coordinator(.scripted(isolated: 1, interrupter))
    let loop = try PollingLoop(coordinator, on: 1)
    for round in 1...20 {
      #expect(eventually { loop.isIdle })
      let report = coordinator.call(on: [1], timeout: .seconds(120)) { [runs] _ in runs.increment()
      }
      #expect(report[.executed] == [1])
      #expect(runs.value == round)
    }
    try loop.end()
  }

  @Test("immediate work runs there, at once and once")
  func immediate() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let loop = try PollingLoop(coordinator, on: 1)
    for round in 1...20 {
      #expect(eventually { loop.isIdle })
      let outcome = coordinator.send(work, to: 1, urgency: .immediate)
      // Queued, where the kick of the round before has not been answered: the work itself had run.
      #expect(outcome == .interrupted || outcome == .queued)
      #expect(eventually { runs.value == round })
    }
    coordinator.expectBalance(of: work, sent: 20)
    #expect((1...20).contains(coordinator.statistics()[work].interrupted))
    try loop.end()
  }

  @Test("deferrable work wakes no isolated CPU, and has run when it comes back")
  func deferrable() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let seen = Counter()
    let loop = try PollingLoop(coordinator, on: 1) { [runs] _ in
      if runs.value == 1 { seen.increment() }
    }
    #expect(eventually { loop.isIdle })
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(runs.value == 0 && loop.wakes.value == 0)
    loop.nudge()
    #expect(eventually { seen.value > 0 })
    coordinator.expectBalance(of: work, sent: 2)
    try loop.end()
    #expect(loop.wakes.value == 0)
  }

  @Test("a housekeeper asleep in poll is woken by whatever is sent")
  func housekeeper() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let loop = try PollingLoop(coordinator, on: 0)
    for round in 1...20 {
      #expect(eventually { loop.isIdle })
      #expect(coordinator.send(work, to: 0) == .queued)
      #expect(eventually { runs.value == round })
    }
    #expect(loop.wakes.value <= 20)
    try loop.end()
  }

  @Test("what is too old runs there")
  func maximumAge() throws {
    let coordinator = try Coordinator(
      WatchdogTests.watched(.poll, Journal<Coordinator.StallReport>()))
    var options = WorkType.Options()
    options.maximumAge = .milliseconds(10)
    let work = try coordinator.register(options: options, counting: runs)
    let loop = try PollingLoop(coordinator, on: 1)
    #expect(eventually { loop.isIdle })
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(eventually { runs.value == 1 })
    #expect(eventually { coordinator.statistics()[work].escalated >= 1 })
    try loop.end()
  }

  @Test("close wakes it, and is over when it has left")
  func close() throws {
    let coordinator = try Coordinator(.scripted())
    let loop = try PollingLoop(coordinator, on: 1)
    #expect(eventually { loop.isIdle })
    #expect(coordinator.close(timeout: .seconds(120)) == .settled)
    #expect(loop.wakes.value >= 1)
    try loop.end()
  }

  @Test("a wake-up that comes before the sleep is not lost, however often")
  func manySenders() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let loop = try PollingLoop(coordinator, on: 1)
    let rounds = 2000
    for round in 1...rounds {
      coordinator.send(work, to: 1, urgency: .immediate)
      // The loop may be anywhere between two sleeps: nothing but this kick gets it up.
      guard eventually({ runs.value == round }) else {
        Issue.record("the loop sleeps with something to do, in round \(round)")
        break
      }
    }
    try loop.end()
  }

  @Test("the wake function goes with the attachment, and no thread calls it then")
  func goes() throws {
    final class Kept: Sendable {}
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let calls = Counter()
    let isGone = try PlainThread.start { () -> Result<Bool, any Error> in
      Result {
        weak var kept: Kept?
        let handle: CPUHandle
        do {
          let object = Kept()
          kept = object
          handle = try coordinator.attachHandle(to: 1) {
            withExtendedLifetime(object) { calls.increment() }
          }
        }
        let wasThere = kept != nil
        while !handle.beginIdle() {}
        coordinator.send(work, to: 1, urgency: .immediate)
        handle.endIdle()
        handle.detach()
        return wasThere && kept == nil
      }
    }.value().get()
    #expect(isGone)
    let before = calls.value
    #expect(before == 0, "a thread that sends to itself needs no wake-up")
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .gone)
    #expect(calls.value == 0)
  }

  @Test("a thread that ends asleep is detached, and its function freed")
  func endsAsleep() throws {
    let coordinator = try Coordinator(.scripted())
    let error = try PlainThread.start { () -> IsolationError? in
      do throws(IsolationError) {
        let handle = try coordinator.attachHandle(to: 1) {}
        while !handle.beginIdle() {}
        return nil
      } catch { return error }
    }.value()
    #expect(error == nil)
    #expect(eventually { coordinator.attached.isEmpty })
    let loop = try PollingLoop(coordinator, on: 1)
    #expect(coordinator.call(on: [1], timeout: .seconds(120)) { _ in }[.executed] == [1])
    try loop.end()
  }

  @Test("senders kick while threads attach and leave: no function is called after it went")
  func comingAndGoing() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let stop = Flag()
    let late = Counter()
    let senders = (0..<2).map { _ in
      PlainThread.start {
        while !stop.isRaised { coordinator.send(work, to: 1, urgency: .immediate) }
      }
    }
    let left = try PlainThread.start { () -> Int in
      for _ in 0..<200 {
        let isOver = Flag()
        let handle: CPUHandle
        do throws(IsolationError) {
          handle = try coordinator.attachHandle(to: 1) { if isOver.isRaised { late.increment() } }
        } catch { return 0 }
        for _ in 0..<3 where handle.beginIdle() { handle.endIdle() }
        handle.detach()
        isOver.raise()
      }
      return 200
    }.value()
    stop.raise()
    for sender in senders { try sender.value() }
    #expect(left == 200)
    #expect(late.value == 0)
    coordinator.expectBalance(of: work)
  }

  @Test("an outcome says interrupted only where something was delivered")
  func honestOutcomes() throws {
    let coordinator = try Coordinator(.scripted(isolated: 1, .park))
    let work = try coordinator.register(counting: runs)
    let cpu = try ScriptedThread(coordinator, on: 1)
    // Awake, and polls nothing: it looks by itself.
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .queued)
    #expect(coordinator.statistics()[work].interrupted == 0)
    try cpu.enterUser()
    #expect(runs.value == 1)
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .queued)
    try cpu.enterKernel()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("the callbacks of a tick enter once, from wherever the CPU was")
  func enterIfNeeded() throws {
    let coordinator = try Coordinator(.scripted())
    let work = try coordinator.register(counting: runs)
    let entered = try PlainThread.start { [runs] () -> Result<[Bool], any Error> in
      Result {
        let cpu = try coordinator.attachHandle(to: 1) {}
        var answers = [coordinator.currentHandle == cpu, cpu.isCurrent, !cpu.enterKernelIfNeeded()]
        cpu.enterUser()
        coordinator.send(work, to: 1)
        answers += [cpu.enterKernelIfNeeded(), runs.value == 1, !cpu.enterKernelIfNeeded()]
        answers.append(cpu.beginIdle())
        coordinator.send(work, to: 1)
        answers += [cpu.enterKernelIfNeeded(), runs.value == 2, cpu.context == .kernel]
        cpu.detach()
        return answers + [!cpu.isCurrent, coordinator.currentHandle == nil]
      }
    }.value().get()
    #expect(entered == Array(repeating: true, count: 12))
  }
}

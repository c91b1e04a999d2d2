// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Unregistration")
struct UnregistrationTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register(counting: runs)
  }

  @Test("what is pending on a CPU in user is withdrawn, returned, and counted as gone")
  func withdrawn() throws {
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(coordinator.send(work, to: 2) == .gone)
    #expect(try coordinator.unregister(work) == [1])
    try cpu.enterKernel()
    #expect(runs.value == 0)
    #expect(coordinator.statistics()[work].gone == 2)
    coordinator.expectBalance(of: work, sent: 3)
    try cpu.end()
  }

  @Test(
    "what is pending on a CPU in kernel runs there; the wait has a deadline and can be repeated")
  func deadline() throws {
    #expect(coordinator.send(work, to: 1) == .queued)
    let start = ContinuousClock.now
    let error = coordinatorError { try coordinator.unregister(work, timeout: .milliseconds(30)) }
    #expect(error?.code == .timedOut)
    #expect(error?.description.contains("CPUs 1 held it up") == true)
    #expect(ContinuousClock.now - start >= .milliseconds(30))
    #expect(coordinator.send(work, to: 1) == .rejected(.unregistered))
    // The bit stays retired until the call has succeeded.
    #expect(try coordinator.register("next") { _ in }.bit != work.bit)
    try cpu.enterUser()
    #expect(runs.value == 1)
    #expect(try coordinator.unregister(work, timeout: .seconds(20)).isEmpty)
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.end()
  }

  @Test("what a call took back before its deadline came is returned by the one that succeeds")
  func withdrawnBeforeTimeout() throws {
    let other = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    let error = coordinatorError { try coordinator.unregister(work, timeout: .milliseconds(5)) }
    #expect(error?.code == .timedOut)
    try cpu.enterKernel()
    #expect(runs.value == 0)
    try cpu.enterUser()
    try other.enterUser()
    #expect(try coordinator.unregister(work, timeout: .seconds(20)) == [1])
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.enterKernel()
    try cpu.end()
    try other.enterKernel()
    try other.end()
  }

  @Test("what is pending on the caller's own CPU, in kernel, runs there too")
  func ownCPU() throws {
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 0) == .queued)
    let withdrawn = try housekeeper.run { [coordinator, work] _ in
      try? coordinator.unregister(work, timeout: .seconds(20))
    }
    #expect(withdrawn == CPUMask())
    #expect(runs.value == 1)
    #expect(coordinator.statistics()[work].gone == 0)
    coordinator.expectBalance(of: work, sent: 1)
    try cpu.enterKernel()
    try cpu.end()
    try housekeeper.end()
  }

  @Test("only its own handle ends the retirement of a type")
  func retiringHandles() throws {
    let other = try Coordinator(.scripted())
    let foreign = try other.register("foreign") { _ in }
    #expect(foreign.bit == work.bit)
    let timedOut = coordinatorError { try coordinator.unregister(work, timeout: .milliseconds(5)) }
    #expect(timedOut?.code == .timedOut)
    try cpu.enterUser()
    let refused = coordinatorError { try coordinator.unregister(foreign) }
    #expect(refused?.code == .workTypeUnregistered)
    try coordinator.unregister(work)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("two that unregister one type at once retire its bit once")
  func twice() throws {
    let steps = (0..<2).map { _ in
      PlainThread.start { [coordinator, work] in
        Result { try coordinator.unregister(work, timeout: .seconds(20)) }
      }
    }
    // Both have been let in, or one has been refused, before the CPU lets them pass.
    #expect(!eventually(within: .milliseconds(50)) { steps.allSatisfy(\.isOver) })
    try cpu.enterUser()
    let results = try steps.map { try $0.value() }
    #expect(results.contains { (try? $0.get()) != nil })
    var bits: [Int] = []
    while let work = try? coordinator.register("bit \(bits.count)", { _ in }) {
      bits.append(work.bit)
    }
    #expect(bits.count == WorkType.capacity)
    #expect(Set(bits).count == bits.count, "two types have one bit")
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a deadline of nothing is one look")
  func noTime() throws {
    #expect(
      coordinatorError { try coordinator.unregister(work, timeout: .zero) }?.code == .timedOut)
    try cpu.enterUser()
    try coordinator.unregister(work, timeout: .zero)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a running handler is waited out")
  func runningHandler() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let slow = try coordinator.register("slow") { _ in
      begun.raise()
      mayEnd.wait()
    }
    try cpu.enterUser()
    coordinator.send(slow, to: 1)
    let entry = cpu.start { $0.enterKernel() }
    begun.wait()
    let error = coordinatorError { try coordinator.unregister(slow, timeout: .milliseconds(30)) }
    #expect(error?.code == .timedOut)
    let step = PlainThread.start { [coordinator] in
      Result { try coordinator.unregister(slow) }
    }
    mayEnd.raise()
    try entry.value()
    #expect(!step.isOver)
    try cpu.enterUser()
    #expect(try step.value().get().isEmpty)
    try cpu.enterKernel()
    coordinator.expectBalance(of: slow, sent: 1)
    try cpu.end()
  }

  @Test("a handler that a helper runs is waited out")
  func runningHelper() throws {
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
    let error = coordinatorError { try coordinator.unregister(slow, timeout: .milliseconds(30)) }
    #expect(error?.code == .timedOut)
    mayEnd.raise()
    #expect(try help.value() == .ranOnBehalf)
    try coordinator.unregister(slow, timeout: .seconds(20))
    coordinator.expectBalance(of: slow, sent: 1)
    try cpu.end()
  }

  @Test("a handler that runs while its CPU detaches is waited out")
  func detachingHandler() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let slow = try coordinator.register("slow") { _ in
      begun.raise()
      mayEnd.wait()
    }
    // Each type of the chain sends the next, so that the last run comes as late as a detachment
    // allows.
    var next = slow
    for link in 0..<6 {
      let following = next
      next = try coordinator.register("link \(link)") { [unowned coordinator] in
        coordinator.send(following, to: $0)
      }
    }
    coordinator.send(next, to: 1)
    let detachment = PlainThread.start { [cpu] in Result { try cpu.end() } }
    guard eventually(within: .seconds(20), { begun.isRaised || detachment.isOver }), begun.isRaised
    else {
      // The chain was dropped: allowed, and then there is nothing to wait for.
      #expect(coordinator.statistics()[slow].executed == 0)
      return
    }
    let error = coordinatorError { try coordinator.unregister(slow, timeout: .milliseconds(30)) }
    #expect(error?.code == .timedOut)
    #expect(coordinator.context(of: 1) == .kernel)
    mayEnd.raise()
    try detachment.value().get()
    try coordinator.unregister(slow, timeout: .seconds(20))
    coordinator.expectBalance(of: slow)
  }

  @Test("a handler's closure is let go with its type")
  func closureReleased() throws {
    final class Owned: Sendable {}
    try cpu.enterUser()
    func registered() throws -> (WorkType, () -> Owned?) {
      let owned = Owned()
      let work = try coordinator.register("owner") { _ in withExtendedLifetime(owned) {} }
      return (work, { [weak owned] in owned })
    }
    let (work, owned) = try registered()
    #expect(owned() != nil)
    try coordinator.unregister(work)
    #expect(owned() == nil)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a housekeeping CPU may unregister what is pending on itself")
  func ownPending() throws {
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    try cpu.enterUser()
    coordinator.send(work, to: 0)
    _ = try housekeeper.run { [coordinator, work] _ in
      Result { try coordinator.unregister(work, timeout: .seconds(20)) }
    }.get()
    coordinator.expectBalance(of: work, sent: 1)
    try housekeeper.end()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a ticket of withdrawn work does not wait for ever")
  func ticket() throws {
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(work, to: [1])
    #expect(ticket.state(of: 1) == .covered)
    #expect(try coordinator.unregister(work) == [1])
    try cpu.enterKernel()
    #expect(ticket.state(of: 1) == .gone)
    #expect(ticket.wait(until: .executed, timeout: .milliseconds(100)) == .settled)
    try cpu.end()
  }
}

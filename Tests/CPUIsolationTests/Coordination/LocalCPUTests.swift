// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("LocalCPU")
struct LocalCPUTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    work = try coordinator.register(counting: runs)
  }

  enum Failure: Error { case intended }

  @Test("scopes are in their context, and give back what the body returns")
  func scopes() throws {
    let seen = try cpu.run { cpu in
      var seen = [cpu.context]
      seen.append(
        cpu.inUser {
          let inner = cpu.inKernel { cpu.context }
          return inner == .kernel ? cpu.context : .offline
        })
      seen.append(cpu.inGuest { cpu.context })
      seen.append(cpu.inKernel { cpu.context })
      seen.append(cpu.context)
      return seen
    }
    #expect(seen == [.kernel, .user, .guest, .kernel, .kernel])
    try cpu.end()
  }

  @Test(
    "scopes end on every path: a thrown error keeps its type and the balance",
    arguments: ["user", "kernel", "guest", "section in user"])
  func errors(scope: String) throws {
    let (error, context) = try cpu.run { cpu -> (Failure?, CPUContext) in
      do throws(Failure) {
        let fail: () throws(Failure) -> Void = { () throws(Failure) in throw .intended }
        switch scope {
        case "user": try cpu.inUser(fail)
        case "kernel": try cpu.inKernel(fail)
        case "guest": try cpu.inGuest(fail)
        default:
          try cpu.inUser { () throws(Failure) in try cpu.inKernel(fail) }
        }
        return (nil, cpu.context)
      } catch {
        return (error, cpu.context)
      }
    }
    #expect(error == .intended)
    #expect(context == .kernel)
    // Nothing is left of the section.
    try cpu.enterUser()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("nested sections make no transition; the outermost ends them")
  func nested() throws {
    let before = coordinator.statistics()[cpu: 1].transitions
    let contexts = try cpu.run { [coordinator] cpu in
      cpu.inKernel {
        cpu.inKernel {
          cpu.inKernel { [cpu.context, coordinator.context(of: 1)] }
        }
      }
    }
    #expect(contexts == [.kernel, .kernel])
    #expect(coordinator.statistics()[cpu: 1].transitions == before)
    try cpu.run { cpu in cpu.inUser { cpu.inKernel { cpu.inKernel {} } } }
    #expect(coordinator.statistics()[cpu: 1].transitions == before + 4)
    try cpu.end()
  }

  @Test("a section in user drains at its beginning, one in kernel does not")
  func sectionDrains() throws {
    let (sent, entered) = (Flag(), Flag())
    let step = cpu.start { [runs] cpu in
      cpu.inUser {
        entered.raise()
        sent.wait()
        return cpu.inKernel { runs.value }
      }
    }
    entered.wait()
    #expect(coordinator.send(work, to: 1) == .deferred)
    sent.raise()
    #expect(try step.value() == 1)
    #expect(coordinator.send(work, to: 1) == .queued)
    let inSection = try cpu.run { [runs] cpu in cpu.inKernel { runs.value } }
    #expect(inSection == 1)
    try cpu.safePoint()
    #expect(runs.value == 2)
    try cpu.end()
  }

  @Test("a section in guest is one of its own")
  func sectionInGuest() throws {
    let seen = try cpu.run { [coordinator] cpu in
      cpu.inGuest { [cpu.inKernel { coordinator.context(of: 1) }, coordinator.context(of: 1)] }
    }
    #expect(seen == [.kernel, .guest])
    try cpu.end()
  }

  @Test("a safe point inside a nested section runs what is pending")
  func safePointInSection() throws {
    coordinator.send(work, to: 1)
    let seen = try cpu.run { [runs] cpu in
      cpu.inKernel {
        cpu.safePoint()
        return runs.value
      }
    }
    #expect(seen == 1)
    try cpu.enterUser()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("safe points and polls inside a handler do nothing")
  func safePointInHandler() throws {
    let journal = Journal<String>()
    let inner = try coordinator.register("inner") { _ in journal.append("inner") }
    let handle = try cpu.run { $0.handle }
    let outer = try coordinator.register("outer") { [unowned coordinator] in
      coordinator.send(inner, to: $0, urgency: .immediate)
      handle.safePoint()
      handle.poll()
      journal.append("outer")
    }
    coordinator.send(outer, to: 1)
    try cpu.safePoint()
    #expect(journal.entries == ["outer", "inner"])
    try cpu.end()
  }

  @Test("a long hot loop with explicit transitions keeps its counter")
  func explicit() throws {
    let before = coordinator.statistics()[cpu: 1].transitions
    try cpu.run { cpu in
      for _ in 0..<10_000 {
        cpu.enterUser()
        cpu.enterKernel()
      }
    }
    #expect(coordinator.statistics()[cpu: 1].transitions == before + 20_000)
    try cpu.end()
  }

  @Test(
    "a call in the window between a CPU's last look and its exit is not lost",
    arguments: QueuedSignals.interrupters)
  func exitWindow(interrupter: Interrupter) throws {
    let coordinator = try Coordinator(.scripted(isolated: 1, interrupter))
    let cpu = try ScriptedThread(coordinator, on: 1)
    let (stop, served) = (Flag(), Counter())
    // The CPU hurries in and out, and then stays in user until a call has come.
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        let seen = served.value
        for _ in 0..<8 {
          cpu.enterUser()
          cpu.enterKernel()
        }
        cpu.inUser {
          while served.value == seen, !stop.isRaised {
            if interrupter == .poll { cpu.poll() }
            Flag.pause()
          }
        }
      }
    }
    for round in 0..<500 {
      let report = coordinator.call(on: [1], timeout: .seconds(30), isInterruptSafe: true) { _ in
        served.increment()
      }
      if report[.executed] != [1] {
        Issue.record("call \(round) was lost: \(report)")
        break
      }
    }
    stop.raise()
    try loop.value()
    try cpu.end()
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Call")
struct CoordinatorCallTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let journal = Journal<String>()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 3))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  /// Calls CPU 1 from a thread of its own.
  func startCall(
    _ name: String = "call", timeout: Duration = .seconds(30)
  ) -> Step<Report<CallOutcome>> {
    PlainThread.start { [coordinator, journal] in
      coordinator.call(on: [1], timeout: timeout) { _ in journal.append(name) }
    }
  }

  /// Waits until the CPU has been asked for attention: until the call of another thread is in its
  /// queue.
  func awaitKick(_ cpu: Int = 1) -> Bool {
    eventually { ContextTracker(coordinator.core.slots[cpu]).isAttentionWanted }
  }

  @Test("a polling CPU runs the call at its next poll, in kernel, and stays in user")
  func polling() throws {
    let contexts = Journal<CPUContext>()
    let stop = Flag()
    try cpu.enterUser()
    let loop = cpu.startPolling(until: stop)
    for _ in 0..<100 {
      let report = coordinator.call(on: [1], timeout: .seconds(30)) { [coordinator] cpu in
        contexts.append(coordinator.context(of: cpu))
      }
      #expect(report[.executed] == [1])
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    stop.raise()
    try loop.value()
    #expect(contexts.entries == Array(repeating: .kernel, count: 100))
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a CPU that does not poll runs the call at its entry or exit", arguments: [false, true])
  func transition(isInUser: Bool) throws {
    if isInUser { try cpu.enterUser() }
    let call = startCall()
    #expect(awaitKick())
    #expect(!call.isOver)
    if isInUser { try cpu.enterKernel() } else { try cpu.enterUser() }
    #expect(try call.value()[.executed] == [1])
    if !isInUser { try cpu.enterKernel() }
    try cpu.end()
  }

  @Test("deferred work runs before the calls that came with it")
  func afterWork() throws {
    let work = try coordinator.register("work") { [journal] _ in journal.append("work") }
    try cpu.enterUser()
    let call = startCall()
    #expect(awaitKick())
    coordinator.send(work, to: 1)
    try cpu.poll()
    _ = try call.value()
    #expect(journal.entries == ["work", "call"])
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("calls that somebody waits for run first, each group in the order of arrival")
  func waitedForFirst() throws {
    let others = try [2, 3].map { try ScriptedThread(coordinator, on: $0) }
    for thread in others + [cpu] { try thread.enterUser() }
    let notes = ["post 0", "post 1"].map { Note($0, journal) }
    let firstPost = notes[0].makeCall()
    let secondPost = notes[1].makeCall()
    var calls: [Step<Report<CallOutcome>>] = []
    for round in 0..<2 {
      let outcome =
        round == 0 ? coordinator.post(firstPost, on: 1) : coordinator.post(secondPost, on: 1)
      #expect(outcome == .queued)
      // The call goes to another CPU too, after CPU 1: when that one is kicked, CPU 1 has it in
      // its queue.
      calls.append(
        PlainThread.start { [coordinator, journal] in
          coordinator.call(on: [1, round + 2], timeout: .seconds(30)) { cpu in
            if cpu == 1 { journal.append("call \(round)") }
          }
        })
      #expect(awaitKick(round + 2))
    }
    for thread in [cpu] + others { try thread.poll() }
    for (round, call) in calls.enumerated() {
      #expect(try call.value()[.executed] == [1, round + 2])
    }
    let isInFlight = firstPost.isInFlight || secondPost.isInFlight
    #expect(!isInFlight)
    #expect(journal.entries == ["call 0", "call 1", "post 0", "post 1"])
    for thread in [cpu] + others {
      try thread.enterKernel()
      try thread.end()
    }
  }

  @Test("several targets at once, the caller's own inline")
  func several() throws {
    let runs = Journal<Int>()
    let (second, stop) = (try ScriptedThread(coordinator, on: 2), Flag())
    try cpu.enterUser()
    let loop = cpu.startPolling(until: stop)
    let report = try second.run { [coordinator] _ in
      coordinator.call(
        on: coordinator.cpus, timeout: .seconds(30), where: { $0 != 0 }
      ) { runs.append($0) }
    }
    #expect(report[.executed] == [1])
    #expect(report[.ranInline] == [2])
    #expect(report[.gone] == [3])
    #expect(report[.skipped] == [0])
    #expect(report.description == "executed 1, ran inline 2, skipped 0, gone 3")
    #expect(runs.entries.sorted() == [1, 2])
    stop.raise()
    try loop.value()
    try cpu.enterKernel()
    for thread in [cpu, second] { try thread.end() }
  }

  @Test(
    "a call to oneself runs in kernel, wherever the caller is",
    arguments: [CPUContext.kernel, .user, .guest])
  func own(context: CPUContext) throws {
    let seen = Journal<CPUContext>()
    let report = try cpu.run { [coordinator] cpu in
      func call() -> Report<CallOutcome> {
        coordinator.call(on: [1]) { seen.append(coordinator.context(of: $0)) }
      }
      switch context {
      case .user: return cpu.inUser(call)
      case .guest: return cpu.inGuest(call)
      default: return call()
      }
    }
    #expect(report[.ranInline] == [1])
    #expect(seen.entries == [.kernel])
    #expect(coordinator.context(of: 1) == .kernel)
    try cpu.end()
  }

  @Test("at the deadline a call is taken back, and never runs")
  func timedOut() throws {
    try cpu.enterUser()
    let report = coordinator.call(on: [1, 2], timeout: .milliseconds(30)) { [journal] _ in
      journal.append("late")
    }
    #expect(report[.timedOut] == [1])
    #expect(report[.gone] == [2])
    try cpu.poll()
    try cpu.enterKernel()
    #expect(journal.entries.isEmpty)
    // The records can be used again, as often as one likes.
    for _ in 0..<20 {
      try cpu.enterUser()
      let again = coordinator.call(on: [1], timeout: .zero) { [journal] _ in journal.append("late")
      }
      #expect(again[.timedOut] == [1])
      try cpu.enterKernel()
    }
    #expect(journal.entries.isEmpty)
    let memories = coordinator.registry.withLock { $0.freeCallMemory.count }
    #expect(memories == 1)
    try cpu.end()
  }

  @Test("a call that has begun is waited for beyond the timeout: it uses the caller's closure")
  func begun() throws {
    let (begun, mayEnd, stop) = (Flag(), Flag(), Flag())
    try cpu.enterUser()
    let loop = cpu.startPolling(until: stop)
    var call: Step<Report<CallOutcome>>
    repeat {
      // Given up where the CPU has not got there in time: again.
      call = PlainThread.start { [coordinator] in
        coordinator.call(on: [1], timeout: .milliseconds(100)) { _ in
          begun.raise()
          mayEnd.wait()
        }
      }
      _ = eventually { begun.isRaised || call.isOver }
    } while !begun.isRaised
    #expect(!eventually(within: .milliseconds(200)) { call.isOver })
    mayEnd.raise()
    #expect(try call.value()[.executed] == [1])
    stop.raise()
    try loop.value()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a CPU that detaches runs the calls in its queue; later ones find nobody")
  func detach() throws {
    try cpu.enterUser()
    let call = startCall()
    #expect(awaitKick())
    try cpu.end()
    #expect(try call.value()[.executed] == [1])
    #expect(coordinator.call(on: [1]) { _ in }[.gone] == [1])
    #expect(journal.entries == ["call"])
    // Nothing is left behind for the next owner.
    #expect(coordinator.statistics()[cpu: 1].calls.pending == 0)
    try ScriptedThread(coordinator, on: 1).end()
    #expect(journal.entries == ["call"])
  }

  @Test("calls from many threads are all executed, each once", arguments: [2, 4])
  func many(callers: Int) throws {
    let (runs, stop) = (Counter(), Flag())
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        cpu.inUser { for _ in 0..<10 { cpu.poll() } }
        Flag.pause()
      }
    }
    let steps = (0..<callers).map { _ in
      PlainThread.start { [coordinator] in
        (0..<200).allSatisfy { _ in
          coordinator.call(on: [1], timeout: .seconds(30)) { _ in runs.increment() }[.executed] == [
            1
          ]
        }
      }
    }
    for step in steps { #expect(try step.value()) }
    stop.raise()
    try loop.value()
    #expect(runs.value == 200 * callers)
    #expect(coordinator.statistics()[cpu: 1].calls.executed == UInt64(200 * callers))
    try cpu.end()
  }

  @Test("calls that are given up leave few records behind, however many they are")
  func givenUp() throws {
    for _ in 0..<200 {
      let report = coordinator.call(on: [1], timeout: .microseconds(1)) { [journal] _ in
        journal.append("given up")
      }
      #expect(report[.timedOut] == [1])
    }
    #expect(coordinator.registry.withLock { $0.freeCallMemory.count } <= 16)
    // A CPU that looks is called as ever, while another one still does not.
    let second = try ScriptedThread(coordinator, on: 2)
    let stop = Flag()
    let loop = second.startPolling(until: stop)
    let report = coordinator.call(on: [1, 2], timeout: .milliseconds(100)) { [journal] cpu in
      journal.append("CPU \(cpu)")
    }
    #expect(report[.timedOut].contains(1) && !report[.executed].contains(1))
    try cpu.safePoint()
    let call = startCall("at last")
    #expect(awaitKick())
    try cpu.safePoint()
    #expect(try call.value()[.executed] == [1])
    #expect(!journal.entries.contains("given up"))
    stop.raise()
    try loop.value()
    try second.end()
    try cpu.end()
  }

  @Test("a call waits for a record that an earlier one has left in the queue")
  func waitsForItsRecord() throws {
    for _ in 0..<20 { coordinator.call(on: [1], timeout: .microseconds(1)) { _ in } }
    let call = startCall()
    usleep(20_000)
    #expect(!call.isOver)
    let stop = Flag()
    let loop = cpu.startPolling(until: stop)
    #expect(try call.value()[.executed] == [1])
    #expect(journal.entries == ["call"])
    stop.raise()
    try loop.value()
    try cpu.end()
  }
}

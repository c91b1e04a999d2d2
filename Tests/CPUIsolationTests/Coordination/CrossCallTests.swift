// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("CrossCall")
struct CrossCallTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let journal = Journal<String>()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  @Test("a posted call is queued, busy while it is in flight, and free again when it was taken")
  func busy() throws {
    let note = Note("ran", journal)
    let call = note.makeCall()
    try cpu.enterUser()
    for round in 1...3 {
      let (first, isInFlight, second) = (
        coordinator.post(call, on: 1), call.isInFlight, coordinator.post(call, on: 2)
      )
      #expect(first == .queued)
      #expect(isInFlight)
      #expect(second == .busy)
      #expect(journal.entries.count == round - 1)
      try cpu.poll()
      let isStillInFlight = call.isInFlight
      #expect(!isStillInFlight)
      #expect(journal.entries.count == round)
    }
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a call to nobody is gone, its record is free, and nothing is left behind")
  func gone() throws {
    let note = Note("ran", journal)
    let call = note.makeCall()
    for _ in 0..<3 {
      let (outcome, isInFlight) = (coordinator.post(call, on: 2), call.isInFlight)
      #expect(outcome == .gone)
      #expect(!isInFlight)
    }
    #expect(coordinator.statistics()[cpu: 2].calls.pending == 0)
    let next = try ScriptedThread(coordinator, on: 2)
    try next.safePoint()
    try next.end()
    #expect(journal.entries.isEmpty)
    try cpu.end()
  }

  @Test("a call may be posted again from inside its own function")
  func again() throws {
    let reposted = Reposted(coordinator, times: 3)
    try cpu.enterUser()
    #expect(reposted.post() == .queued)
    for _ in 0..<4 { try cpu.run { $0.inKernel {} } }
    #expect(reposted.runs.value == 4)
    #expect(reposted.outcomes.entries == [.queued, .queued, .queued])
    #expect(!reposted.isInFlight)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a CPU that posted to itself inside a call is still kicked by others")
  func kickAfterOwnPost() throws {
    let reposted = Reposted(coordinator, times: 1)
    let stop = Flag()
    try cpu.enterUser()
    let loop = cpu.startPolling(until: stop)
    #expect(reposted.post() == .queued)
    #expect(eventually { reposted.runs.value >= 1 })
    let report = coordinator.call(on: [1], timeout: .seconds(20)) { _ in }
    #expect(report[.executed] == [1], "the queue is not empty, and nobody rang")
    stop.raise()
    try loop.value()
    try cpu.enterKernel()
    #expect(reposted.runs.value == 2)
    try cpu.end()
  }

  @Test(
    "a CPU that posts to itself in user is still kicked by others"
  )
  func ownPostInUser() throws {
    let (note, stop) = (Note("own", journal), Flag())
    try cpu.enterUser()
    let posted = try cpu.run { [coordinator, note] _ in
      unsafe coordinator.post(on: [1], context: note.context, Note.function)
    }
    #expect(posted[.queued] == [1])
    let loop = cpu.startPolling(until: stop)
    let report = coordinator.call(on: [1], timeout: .seconds(20)) { [journal] _ in
      journal.append("call")
    }
    #expect(report[.executed] == [1], "the queue is not empty, and nobody rang")
    stop.raise()
    try loop.value()
    try cpu.enterKernel()
    #expect(journal.entries.sorted() == ["call", "own"])
    try cpu.end()
  }

  @Test("the masked form uses one record per sender and target, and says which were busy")
  func masked() throws {
    let note = Note("ran", journal)
    let second = try ScriptedThread(coordinator, on: 2)
    for thread in [cpu, second] { try thread.enterUser() }
    let first = unsafe coordinator.post(
      on: [0, 1, 2], context: note.context, where: { $0 != 2 }, Note.function)
    #expect(first[.queued] == [1])
    #expect(first[.skipped] == [2])
    #expect(first[.gone] == [0])
    let again = unsafe coordinator.post(on: [1, 2], context: note.context, Note.function)
    #expect(again[.busy] == [1])
    #expect(again[.queued] == [2])
    #expect(again.description == "queued 2, busy 1")
    // A CPU has records of its own.
    let own = try second.run { [coordinator, note] _ in
      unsafe coordinator.post(on: [1], context: note.context, Note.function)
    }
    #expect(own[.queued] == [1])
    for thread in [cpu, second] { try thread.poll() }
    #expect(journal.entries.count == 3)
    for thread in [cpu, second] {
      try thread.enterKernel()
      try thread.end()
    }
  }

  @Test("calls can be posted from handlers, to others")
  func fromHandler() throws {
    let note = Note("posted", journal)
    let second = try ScriptedThread(coordinator, on: 2)
    try second.enterUser()
    let work = try coordinator.register("poster") { [unowned coordinator, note] _ in
      _ = unsafe coordinator.post(on: [2], context: note.context, Note.function)
    }
    coordinator.send(work, to: 1)
    try cpu.safePoint()
    #expect(journal.entries.isEmpty)
    try second.poll()
    #expect(journal.entries == ["posted"])
    try second.enterKernel()
    try second.end()
    try cpu.end()
  }
}

/// A call that posts itself again, some times, from inside its function.
// Sendable: the call is made once and only posted.
private final class Reposted: @unchecked Sendable {
  let runs = Counter()
  let outcomes = Journal<CallOutcome>()
  private let coordinator: Coordinator
  private let times: Int
  private let journal = Journal<String>()
  private var held: Held?

  private final class Held {
    let note: Note
    let call: CrossCall
    init(_ note: Note) {
      self.note = note
      call = note.makeCall()
    }
  }

  init(_ coordinator: Coordinator, times: Int) {
    self.coordinator = coordinator
    self.times = times
    held = Held(
      Note("ran", journal) { [unowned self] in
        runs.increment()
        if runs.value <= times { outcomes.append(post()) }
      })
  }

  var isInFlight: Bool { held!.call.isInFlight }
  func post() -> CallOutcome { coordinator.post(held!.call, on: 1) }
}

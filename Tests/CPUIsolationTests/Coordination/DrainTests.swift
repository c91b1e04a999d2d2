// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Drain")
struct DrainTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let journal = Journal<String>()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  func register(_ name: String, _ order: WorkType.DrainOrder = .normal) throws -> WorkType {
    var options = WorkType.Options()
    options.order = order
    return try coordinator.register(name, options: options) { [journal] _ in journal.append(name) }
  }

  @Test("early types first, late types last, and in each order the first registered first")
  func order() throws {
    let works = [
      try register("late 0", .late), try register("normal 0"), try register("early 0", .early),
      try register("normal 1"), try register("late 1", .late), try register("early 1", .early),
    ]
    let expected = ["early 0", "early 1", "normal 0", "normal 1", "late 0", "late 1"]
    for sends in [works, works.reversed()] {
      try cpu.enterUser()
      for work in sends { #expect(coordinator.send(work, to: 1) == .deferred) }
      try cpu.enterKernel()
    }
    #expect(journal.entries == expected + expected)
    try cpu.end()
  }

  @Test("a type that takes over a bit takes its own order")
  func orderOfReusedBit() throws {
    try cpu.enterUser()
    let works = try (0..<61).map { try register("\($0)", $0 == 60 ? .early : .normal) }
    try coordinator.unregister(works[60])
    let reused = try register("reused", .late)
    #expect(reused.bit == 60)
    coordinator.send(reused, to: 1)
    coordinator.send(works[59], to: 1)
    try cpu.enterKernel()
    #expect(journal.entries == ["59", "reused"])
    try cpu.end()
  }

  @Test("each type runs once in a drain, however often it was sent")
  func once() throws {
    let work = try register("work")
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    for _ in 0..<1_000 { #expect(coordinator.send(work, to: 1) == .merged) }
    try cpu.enterKernel()
    #expect(journal.entries == ["work"])
    coordinator.expectBalance(of: work, sent: 1_001)
    try cpu.end()
  }

  @Test("what a handler sends to its own CPU runs in a later round of the same entry")
  func sendFromHandler() throws {
    let second = try register("second")
    let outcomes = Journal<SendOutcome>()
    let first = try coordinator.register("first") { [unowned coordinator, journal] cpu in
      outcomes.append(coordinator.send(second, to: cpu))
      outcomes.append(coordinator.send(second, to: cpu))
      journal.append("first")
    }
    try cpu.enterUser()
    coordinator.send(first, to: 1)
    try cpu.enterKernel()
    #expect(journal.entries == ["first", "second"])
    #expect(outcomes.entries == [.queued, .merged])
    coordinator.expectBalance(of: second, sent: 2)
    try cpu.end()
  }

  @Test("a handler that sends its own type again does not keep its CPU for ever")
  func resending() throws {
    let holder = Holder()
    let work = try coordinator.register("again") { [unowned coordinator, journal] cpu in
      journal.append("again")
      if let work = holder.work.withLock({ $0 }) { coordinator.send(work, to: cpu) }
    }
    holder.work.withLock { $0 = work }
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    try cpu.enterKernel()
    let runs = journal.entries.count
    #expect((2...4).contains(runs))
    #expect(coordinator.statistics()[work].pending == 1)
    // The last send is not lost: the next safe point finds it.
    holder.work.withLock { $0 = nil }
    try cpu.safePoint()
    #expect(journal.entries.count == runs + 1)
    coordinator.expectBalance(of: work)
    try cpu.end()
  }

  private final class Holder: Sendable { let work = Guarded<WorkType?>(nil) }

  @Test("what arrives during a handler is not lost")
  func arrivesDuringDrain() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let runs = Counter()
    let work = try coordinator.register("slow") { _ in
      runs.increment()
      if runs.value > 1 { return }
      begun.raise()
      mayEnd.wait()
    }
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    let entry = cpu.start { $0.enterKernel() }
    begun.wait()
    #expect(coordinator.send(work, to: 1) == .queued)
    mayEnd.raise()
    try entry.value()
    #expect(runs.value == 2)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("handlers run in kernel, on the CPU's thread, with its number", arguments: [1, 2])
  func environment(number: Int) throws {
    let target = number == 1 ? cpu : try ScriptedThread(coordinator, on: number)
    let seen = Journal<[Int]>()
    let work = try coordinator.register("look") { [unowned coordinator] cpu in
      seen.append([
        cpu, coordinator.currentCPU ?? -1, Int(coordinator.context(of: cpu).rawValue),
      ])
    }
    try target.enterUser()
    coordinator.send(work, to: number)
    try target.enterKernel()
    #expect(seen.entries == [[number, number, 0]])
    try target.end()
    try cpu.end()
  }

  @Test(
    "every way into kernel and out of it drains",
    arguments: ["entry", "exit", "safe point", "quiescent", "idle", "guest", "detach"])
  func safePoints(way: String) throws {
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    if way == "entry" { try cpu.enterUser() }
    coordinator.send(work, to: 1)
    switch way {
    case "entry": try cpu.enterKernel()
    case "exit": try cpu.enterUser()
    case "safe point": try cpu.safePoint()
    case "quiescent": try cpu.run { $0.declareQuiescent() }
    case "idle": try cpu.run { $0.idle(for: .zero) }
    case "guest": try cpu.run { $0.inGuest {} }
    default: try cpu.end()
    }
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 1)
    if way != "detach" { try cpu.end() }
  }

  @Test("a poll in kernel is no safe point unless somebody asks")
  func pollInKernel() throws {
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    #expect(coordinator.send(work, to: 1) == .queued)
    try cpu.poll()
    #expect(runs.value == 0)
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try cpu.poll()
    #expect(runs.value == 1)
    try cpu.end()
  }

  @Test("drains are timed where that is asked for", arguments: [false, true])
  func timed(isTimed: Bool) throws {
    var configuration = Coordinator.Configuration.scripted()
    configuration.timesDrains = isTimed
    let coordinator = try Coordinator(configuration)
    let cpu = try ScriptedThread(coordinator, on: 1)
    let work = try coordinator.register("slow") { _ in
      let start = ContinuousClock.now
      while ContinuousClock.now - start < .milliseconds(2) {}
    }
    for _ in 0..<2 {
      try cpu.enterUser()
      coordinator.send(work, to: 1)
      try cpu.enterKernel()
    }
    let longest = coordinator.statistics()[cpu: 1].longestDrain
    #expect((longest != nil) == isTimed)
    if let longest { #expect(longest >= .microseconds(1_900)) }
    try cpu.end()
  }
}

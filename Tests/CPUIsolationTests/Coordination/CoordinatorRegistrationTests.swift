// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Registration")
struct CoordinatorRegistrationTests {
  @Test("61 types fit, the 62nd is an error, and a bit that is free again is used")
  func capacity() throws {
    let coordinator = try Coordinator(.scripted())
    let works = try (0..<61).map { try coordinator.register("work \($0)") { _ in } }
    #expect(works.map(\.bit) == Array(0..<61))
    let error = coordinatorError { _ = try coordinator.register("one more") { _ in } }
    #expect(error?.code == .tooManyWorkTypes)
    #expect(error?.description == "one more would be work type 62 of 61")
    try coordinator.unregister(works[17])
    #expect(try coordinator.register("reused") { _ in }.bit == 17)
  }

  @Test("bits of retired types are used again, over many rounds, and each handle is its own")
  func reuse() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let runs = Counter()
    var handles: Set<WorkType> = []
    for round in 1...200 {
      let work = try coordinator.register(counting: runs)
      #expect(handles.insert(work).inserted)
      try cpu.enterUser()
      #expect(coordinator.send(work, to: 1) == .deferred)
      try cpu.enterKernel()
      #expect(runs.value == round)
      try cpu.enterUser()
      try coordinator.unregister(work)
      try cpu.enterKernel()
    }
    #expect(Set(handles.map(\.bit)).count == 61)
    try cpu.end()
  }

  @Test("a maximum age has to be positive, watched, and enforceable")
  func maximumAge() throws {
    var options = WorkType.Options()
    options.maximumAge = .milliseconds(50)
    func refusal(_ configuration: Coordinator.Configuration, _ options: WorkType.Options) throws
      -> IsolationError.Code?
    {
      let coordinator = try Coordinator(configuration)
      do {
        _ = try coordinator.register("aged", options: options) { _ in }
        return nil
      } catch {
        return error.code
      }
    }
    var watched = Coordinator.Configuration.scripted()
    #expect(try refusal(watched, options) == .watchdogRequired)
    watched.watchdog = .init()
    #expect(try refusal(watched, options) == nil)
    for age in [Duration.zero, .seconds(-1)] {
      options.maximumAge = age
      #expect(try refusal(watched, options) == .unreachableMaximumAge)
    }
    options.maximumAge = .milliseconds(50)
    for interrupter in [Interrupter.signal, .park] {
      watched.isolatedInterrupter = interrupter
      #expect(try refusal(watched, options) == .unreachableMaximumAge)
    }
    watched.isolatedInterrupter = .signal
    var safe = options
    safe.isInterruptSafe = true
    #expect(try refusal(watched, safe) == nil)
    var onBehalf = options
    onBehalf.mayRunOnBehalf = true
    #expect(try refusal(watched, onBehalf) == nil)
  }

  @Test("a refused registration takes no bit")
  func refusalTakesNothing() throws {
    let coordinator = try Coordinator(.scripted())
    var options = WorkType.Options()
    options.maximumAge = .seconds(1)
    for _ in 0..<100 {
      #expect(throws: IsolationError.self) {
        try coordinator.register("aged", options: options) { _ in }
      }
    }
    #expect(try coordinator.register("fresh") { _ in }.bit == 0)
  }

  @Test("an unregistered type is rejected, everywhere")
  func rejected() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    try cpu.enterUser()
    try coordinator.unregister(work)
    #expect(coordinator.send(work, to: 1) == .rejected(.unregistered))
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .rejected(.unregistered))
    #expect(coordinator.send(work, to: [0, 1]).refusal == .rejected(.unregistered))
    #expect(coordinator.sendWithTicket(work, to: [1]).report.refusal == .rejected(.unregistered))
    #expect(try cpu.run { $0.send(work, to: 1) } == .rejected(.unregistered))
    #expect(coordinatorError { try coordinator.unregister(work) }?.code == .workTypeUnregistered)
    try cpu.enterKernel()
    #expect(runs.value == 0)
    coordinator.expectBalance(of: work, sent: 0)
    try cpu.end()
  }

  @Test("an old handle does not reach the type that took over its bit")
  func oldHandle() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let works = try (0..<61).map { try coordinator.register("work \($0)") { _ in } }
    let old = works[3]
    try coordinator.unregister(old)
    let runs = Counter()
    let new = try coordinator.register(counting: runs)
    #expect(new.bit == old.bit)
    #expect(new != old)
    #expect(coordinator.send(old, to: 1) == .rejected(.unregistered))
    #expect(coordinatorError { try coordinator.unregister(old) }?.code == .workTypeUnregistered)
    try cpu.enterKernel()
    #expect(runs.value == 0)
    try cpu.end()
  }

  @Test("a handle of another coordinator is rejected, though it has the same bit")
  func foreignHandle() throws {
    let (coordinator, other) = (try Coordinator(.scripted()), try Coordinator(.scripted()))
    let cpu = try ScriptedThread(coordinator, on: 1)
    let runs = Counter()
    let (work, foreign) = (
      try coordinator.register(counting: runs), try other.register(counting: runs)
    )
    #expect(work.bit == foreign.bit)
    try cpu.enterUser()
    #expect(coordinator.send(foreign, to: 1) == .rejected(.unregistered))
    #expect(coordinatorError { try coordinator.unregister(foreign) }?.code == .workTypeUnregistered)
    try cpu.enterKernel()
    #expect(runs.value == 0)
    try cpu.end()
  }

  @Test("the C form hands its context to the function")
  func cFunction() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let runs = Counter()
    let work = unsafe try coordinator.register(
      "counted", context: runs.context, function: Counter.function)
    try cpu.enterUser()
    coordinator.send(work, to: 1)
    try cpu.enterKernel()
    #expect(runs.value == 1)
    try cpu.end()
  }
}

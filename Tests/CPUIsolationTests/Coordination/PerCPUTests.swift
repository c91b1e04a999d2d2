// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("PerCPU")
struct PerCPUTests {
  @Test("handlers, calls and the CPU's own code share its value, and no other's")
  func shared() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let values = Coordinator.PerCPU(coordinator) { [$0] }
    let work = try coordinator.register("append") { values[$0].append(10) }
    let cpu = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 2) == .deferred)
    try cpu.enterKernel()
    try cpu.run { cpu in values[cpu.number].append(20) }
    let poll = Flag()
    let step = cpu.startPolling(until: poll)
    #expect(
      coordinator.call(on: [2], timeout: .seconds(120)) { values[$0].append(30) }[.executed] == [2])
    poll.raise()
    try step.value()
    #expect(try cpu.run { cpu in values[2] } == [2, 10, 20, 30])
    try cpu.end()
    let other = try ScriptedThread(coordinator, on: 1)
    #expect(try other.run { cpu in values[1] } == [1])
    try other.end()
  }

  @Test("a thread that is a CPU is lent its own value, in kernel; another one none")
  func current() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let values = Coordinator.PerCPU(coordinator) { [$0] }
    let work = try coordinator.register("append") { values[$0].append(10) }
    let cpu = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 2) == .deferred)
    #expect(try cpu.run { _ in values.withCurrent { $0 } } == [2, 10])
    #expect(try cpu.run { _ in values.withCurrent { $0.append(20) } != nil })
    #expect(values.withCurrent { $0 } == nil)
    struct Refusal: Error {}
    #expect(
      try cpu.run { _ in
        do {
          return try values.withCurrent { _ throws(Refusal) -> Bool in throw Refusal() } ?? false
        } catch {
          return values.withCurrent { $0 == [2, 10, 20] } ?? false
        }
      })
    let other = Coordinator.PerCPU(try Coordinator(.scripted(isolated: 2))) { $0 }
    #expect(try cpu.run { _ in other.withCurrent { $0 } } == nil)
    try cpu.end()
  }

  @Test("a helper touches the value of the CPU that it helps")
  func onBehalf() throws {
    let coordinator = try Coordinator(.scripted())
    let values = Coordinator.PerCPU(coordinator) { _ in 0 }
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let work = try coordinator.register("count", options: options) { values[$0] += 1 }
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1, urgency: .onBehalf) == .ranOnBehalf)
    try cpu.enterKernel()
    #expect(try cpu.run { _ in values[1] } == 1)
    try cpu.end()
  }

  @Test("values end with the object, each once")
  func lifetime() throws {
    final class Counted: Sendable {
      let ends: Counter
      init(_ ends: Counter) { self.ends = ends }
      deinit { ends.increment() }
    }
    let coordinator = try Coordinator(.scripted(isolated: 3))
    let ends = Counter()
    do {
      let values = Coordinator.PerCPU(coordinator) { _ in Counted(ends) }
      withExtendedLifetime(values) { #expect(ends.value == 0) }
    }
    #expect(ends.value == 4)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Placement")
struct CoordinatorPlacementTests {
  private struct Failure: Error {}

  private static var processors: [Int] { ProcessorSet.given.map { Int($0) } }

  private func isolatingLast() throws -> (coordinator: Coordinator, processor: Int) {
    let given = Self.processors
    let last = try #require(given.last)
    var configuration = Coordinator.Configuration(housekeeping: [given[0]], isolated: [last])
    configuration.watchdog = nil
    return (try Coordinator(configuration), last)
  }

  @Test(
    "a thread is off the processors of isolated CPUs, and back where it was",
    .enabled("two processors") { processors.count > 1 })
  func offAndBack() throws {
    let (coordinator, processor) = try isolatingLast()
    try PlainThread.start {
      func allowed() -> ProcessorSet? { ProcessorSet.allowed(forThread: CurrentThread.id) }
      let before = allowed()
      let meanwhile = coordinator.keepingOffIsolatedProcessors { allowed() }
      #expect(meanwhile?.contains(Int32(processor)) == false)
      #expect(meanwhile.map { Array($0).isEmpty } == false)
      #expect(allowed() == before)
      #expect(throws: Failure.self) {
        try coordinator.keepingOffIsolatedProcessors { () throws(Failure) in throw Failure() }
      }
      #expect(allowed() == before)
    }.value()
  }

  @Test("where isolated CPUs have every processor, a thread may run on all of them")
  func everyProcessorIsIsolated() throws {
    let given = Self.processors
    var configuration = Coordinator.Configuration(
      housekeeping: [8_000], isolated: CPUMask(given))
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    try PlainThread.start {
      let allowed = coordinator.keepingOffIsolatedProcessors {
        ProcessorSet.allowed(forThread: CurrentThread.id)
      }
      #expect(allowed == ProcessorSet.given)
    }.value()
  }

  @Test(
    "a CPU's thread stays where it is bound", .enabled("two processors") { processors.count > 1 })
  func aCPUStays() throws {
    let (coordinator, processor) = try isolatingLast()
    let cpu = try ScriptedThread(coordinator, on: processor)
    let allowed = try cpu.run { _ in
      coordinator.keepingOffIsolatedProcessors {
        ProcessorSet.allowed(forThread: CurrentThread.id)
      }
    }
    #expect(allowed == ProcessorSet([Int32(processor)]))
    try cpu.end()
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

@Suite("Whose CPU a thread is")
struct OwnershipTests {
  @Test("a handle keeps its coordinator until it detaches")
  func handleKeeps() throws {
    let isGone = try PlainThread.start {
      Result {
        func attached() throws -> (CPUHandle, () -> Coordinator?) {
          let coordinator = try Coordinator(.scripted())
          return (try coordinator.attachHandle(to: 1), { [weak coordinator] in coordinator })
        }
        let (cpu, coordinator) = try attached()
        cpu.enterUser()
        cpu.enterKernel()
        let isThere = coordinator() != nil
        cpu.detach()
        return isThere && coordinator() == nil
      }
    }.value().get()
    #expect(isGone)
  }

  @Test("a task is a CPU for as long as a closure runs, on one thread")
  func scoped() async throws {
    let coordinator = try Coordinator(.scripted())
    let seen = try await Task.detached {
      let seen = try coordinator.attach(to: 1) { cpu in
        cpu.enterUser()
        cpu.enterKernel()
        return [coordinator.currentCPU, cpu.number]
      }
      try await Task.sleep(for: .milliseconds(1))
      return seen + [coordinator.currentCPU]
    }.value
    #expect(seen == [1, 1, nil])
    #expect(coordinator.attached.isEmpty)
  }

  @Test("what the closure throws comes out, and the CPU is free")
  func scopedThrows() throws {
    struct Failure: Error {}
    let coordinator = try Coordinator(.scripted())
    #expect(throws: Failure.self) { try coordinator.attach(to: 1) { _ in throw Failure() } }
    #expect(coordinator.attached.isEmpty)
    try ScriptedThread(coordinator, on: 1).end()
  }

  @Test("a CPU that joins another one's thread serves its own calls")
  func joinServes() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let joiner = try ScriptedThread(coordinator, on: 1)
    let thread = try coordinator.launch(on: 2) { [coordinator] _ in
      // The thread that is joined waits for the one that joins it.
      let report = coordinator.call(on: [1], timeout: .seconds(60)) { _ in }
      #expect(report[.executed] == [1])
    }
    #expect(try joiner.run { _ in thread.join(timeout: .seconds(60)) } == .settled)
    try joiner.end()
  }

  @Test("a CPU that closes another coordinator serves its own calls")
  func closeServes() throws {
    let coordinator = try Coordinator(.scripted())
    let other = try Coordinator(.scripted())
    let closer = try ScriptedThread(coordinator, on: 1)
    let thread = try other.launch(on: 1) { _ in
      while !other.isClosed { usleep(100) }
      let report = coordinator.call(on: [1], timeout: .seconds(60)) { _ in }
      #expect(report[.executed] == [1])
    }
    #expect(try closer.run { _ in other.close(timeout: .seconds(60)) } == .settled)
    thread.join()
    try closer.end()
  }

  @Test("a housekeeper that waits for a hazard barrier serves its own calls")
  func barrierServes() throws {
    let coordinator = try Coordinator(.scripted())
    let domain = try coordinator.makeHazardDomain(reclamation: .explicit)
    final class Node: Sendable {}
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    let isIn = Flag()
    let thread = try coordinator.launch(on: 1) { [coordinator] _ in
      isIn.raise()
      while domain.counts.retired == 0 { usleep(100) }
      usleep(10_000)
      let report = coordinator.call(on: [0], timeout: .seconds(60)) { _ in }
      #expect(report[.executed] == [0])
    }
    isIn.wait()
    unsafe domain.retire(instance: .passRetained(Node()))
    #expect(try housekeeper.run { _ in domain.barrier(timeout: .seconds(60)) } == .settled)
    #expect(thread.join(timeout: .seconds(60)) == .settled)
    try housekeeper.end()
  }
}

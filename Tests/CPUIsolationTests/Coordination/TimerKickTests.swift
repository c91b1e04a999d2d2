// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Timer kicks")
struct TimerKickTests {
  @Test("a CPU in user sees the earliest deadline at its next entry")
  func earliest() throws {
    let coordinator = try Coordinator(.scripted())
    let kick = try TimerKick(coordinator)
    let cpu = try ScriptedThread(coordinator, on: 1)
    #expect(try cpu.run { kick.deadline(on: $0) } == nil)
    try cpu.enterUser()
    #expect(kick.bringForward(to: 300, on: 1) == .deferred)
    #expect(kick.bringForward(to: 100, on: 1) == .merged)
    #expect(kick.bringForward(to: 200, on: 1) == .merged)
    #expect(try cpu.run { kick.deadline(on: $0) } == nil)
    try cpu.enterKernel()
    #expect(try cpu.run { kick.deadline(on: $0) } == 100)
    coordinator.expectBalance(of: kick.work, sent: 4)
    try cpu.end()
  }

  @Test("the CPU's own deadline and a request that comes meanwhile: the earlier one stays")
  func merges() throws {
    let coordinator = try Coordinator(.scripted())
    let kick = try TimerKick(coordinator)
    let cpu = try ScriptedThread(coordinator, on: 1)
    #expect(kick.bringForward(to: 50, on: 1) == .queued)
    // The CPU has not seen it when it puts its own: it is not lost.
    try cpu.run { kick.setDeadline(80, on: $0) }
    #expect(try cpu.run { kick.deadline(on: $0) } == 80)
    try cpu.safePoint()
    #expect(try cpu.run { kick.deadline(on: $0) } == 50)
    try cpu.run { kick.setDeadline(90, on: $0) }
    kick.bringForward(to: 95, on: 1)
    try cpu.safePoint()
    #expect(try cpu.run { kick.deadline(on: $0) } == 90)
    try cpu.run { kick.setDeadline(nil, on: $0) }
    #expect(try cpu.run { kick.deadline(on: $0) } == nil)
    try cpu.end()
  }

  @Test("a request to nobody is the next thread's")
  func attachment() throws {
    let coordinator = try Coordinator(.scripted())
    let kick = try TimerKick(coordinator)
    #expect(kick.bringForward(to: 7, on: 1) == .gone)
    let cpu = try ScriptedThread(coordinator, on: 1)
    #expect(try cpu.run { kick.deadline(on: $0) } == 7)
    try cpu.end()
    coordinator.expectBalance(of: kick.work)
  }

  @Test("requests from many threads: none is lost")
  func manyThreads() throws {
    let coordinator = try Coordinator(.scripted())
    let kick = try TimerKick(coordinator)
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    for round in 1...50 as ClosedRange<UInt64> {
      let floor = 1_000_000 - round * 1_000
      let threads = (0..<3 as Range<UInt64>).map { thread in
        PlainThread.start {
          for step in 0..<100 as Range<UInt64> {
            kick.bringForward(to: floor + (step * 37 + thread * 11) % 331, on: 1)
          }
        }
      }
      let entries = cpu.start { cpu in
        for _ in 0..<20 {
          cpu.enterKernel()
          cpu.enterUser()
        }
      }
      for thread in threads { try thread.value() }
      try entries.value()
      try cpu.enterKernel()
      let earliest = (0..<3 as Range<UInt64>).flatMap { thread in
        (0..<100 as Range<UInt64>).map { floor + ($0 * 37 + thread * 11) % 331 }
      }.min()
      #expect(try cpu.run { kick.deadline(on: $0) } == earliest)
      try cpu.enterUser()
    }
    try cpu.end()
    coordinator.expectBalance(of: kick.work)
  }
}

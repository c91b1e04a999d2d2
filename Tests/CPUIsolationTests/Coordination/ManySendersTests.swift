// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Types with many senders")
struct ManySendersTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()
  let work: WorkType

  init() throws {
    coordinator = try Coordinator(.scripted())
    cpu = try ScriptedThread(coordinator, on: 1)
    var options = WorkType.Options()
    options.expectsManySenders = true
    work = try coordinator.register(options: options, counting: runs)
  }

  @Test("outcomes are those of any type, in every context")
  func outcomes() throws {
    #expect(coordinator.send(work, to: 0) == .gone)
    #expect(coordinator.send(work, to: 1) == .queued)
    #expect(coordinator.send(work, to: 1) == .merged)
    try cpu.safePoint()
    try cpu.enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    for _ in 0..<10 { #expect(coordinator.send(work, to: 1) == .merged) }
    #expect(coordinator.send(work, to: 1, urgency: .immediate) == .interrupted)
    try cpu.poll()
    #expect(coordinator.send(work, to: 1) == .deferred)
    try cpu.enterKernel()
    #expect(runs.value == 3)
    coordinator.expectBalance(of: work, sent: 16)
    let own = try cpu.run { [work] in $0.send(work, to: 1) }
    #expect(own == .ranInline)
    try cpu.end()
  }

  @Test("a merged send that wrote nothing is covered all the same")
  func publication() throws {
    let (datum, seen) = (Counter(), Journal<Int>())
    var options = WorkType.Options()
    options.expectsManySenders = true
    let reader = try coordinator.register("reader", options: options) { _ in
      seen.append(datum.value)
    }
    let sends = 200
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised { cpu.inUser { Flag.pause() } }
    }
    for _ in 0..<sends {
      datum.increment()
      coordinator.send(reader, to: 1)
    }
    stop.raise()
    try loop.value()
    try cpu.safePoint()
    #expect(seen.entries.last == sends)
    coordinator.expectBalance(of: reader, sent: UInt64(sends))
    try cpu.end()
  }
}

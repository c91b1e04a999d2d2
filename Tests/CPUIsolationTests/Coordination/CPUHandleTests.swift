// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("CPUHandle")
struct CPUHandleTests {
  @Test("a handle does what the value does")
  func transitions() throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    let cpu = try ScriptedThread(coordinator, on: 1)
    let handle = try cpu.run { $0.handle }
    #expect(handle.number == 1)
    try cpu.run { _ in handle.enterUser() }
    #expect(handle.context == .user)
    #expect(coordinator.send(work, to: 1) == .deferred)
    try cpu.run { _ in handle.enterKernel() }
    #expect(runs.value == 1)
    coordinator.send(work, to: 1)
    try cpu.run { _ in handle.safePoint() }
    coordinator.send(work, to: 1)
    try cpu.run { _ in handle.declareQuiescent() }
    coordinator.send(work, to: 1)
    try cpu.run { _ in handle.idle(for: .zero) }
    #expect(runs.value == 4)
    coordinator.send(work, to: 1, urgency: .immediate)
    try cpu.run { _ in handle.poll() }
    #expect(runs.value == 5)
    coordinator.expectBalance(of: work, sent: 5)
    #expect(try cpu.run { $0.handle == handle })
    try cpu.end()
  }

  @Test("a thread of callbacks attaches and detaches by its handle")
  func attachHandle() throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    let contexts = try PlainThread.start {
      Result {
        let cpu = try coordinator.attachHandle(to: 1)
        var contexts = [cpu.context]
        cpu.enterUser()
        contexts.append(cpu.context)
        _ = try PlainThread.start { coordinator.send(work, to: 1) }.value()
        cpu.enterKernel()
        cpu.detach()
        contexts.append(cpu.context)
        // The thread is free to be a CPU again.
        try coordinator.attachHandle(to: 1).detach()
        return contexts
      }
    }.value().get()
    #expect(contexts == [.kernel, .user, .offline])
    #expect(runs.value == 1)
  }

  @Test("anybody may look at a handle's number and context")
  func foreignLooks() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let cpu = try ScriptedThread(coordinator, on: 2)
    let handle = try cpu.run { $0.handle }
    #expect(handle.number == 2)
    #expect(handle.context == .kernel)
    try cpu.end()
    #expect(handle.context == .offline)
  }
}

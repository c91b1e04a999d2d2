// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization
import Testing

@Suite("A coordinator that is run", .timeLimit(.minutes(5)))
struct CoordinatorRunTests {
  private static func make() throws -> Coordinator {
    try Coordinator(.init(housekeeping: [0], isolated: [1, 2], pinning: .none))
  }

  @Test("it is held until the task is cancelled, and closed then")
  func cancelled() async throws {
    let coordinator = try Self.make()
    for cpu in [1, 2] {
      try coordinator.launch(on: cpu) { cpu in while !coordinator.isClosed { cpu.idle() } }
    }
    let running = Task { try await coordinator.run(closingWithin: nil) }
    try await Task.sleep(for: .milliseconds(120))
    #expect(!coordinator.isClosed)
    running.cancel()
    try await running.value
    #expect(coordinator.isClosed && coordinator.attached.isEmpty)
  }

  @Test("it ends when somebody closes the coordinator")
  func closed() async throws {
    let coordinator = try Self.make()
    async let running: Void = coordinator.run(closingWithin: nil)
    coordinator.close()
    try await running
    #expect(coordinator.isClosed)
  }

  @Test("a thread that does not leave is named")
  func stragglers() async throws {
    let coordinator = try Self.make()
    let mayGo = Atomic(false)
    let thread = try coordinator.launch(on: 2) { cpu in
      while !mayGo.load(ordering: .acquiring) { cpu.safePoint() }
    }
    let running = Task { try await coordinator.run(closingWithin: .milliseconds(20)) }
    running.cancel()
    do {
      try await running.value
      Issue.record("CPU 2 has not left")
    } catch let error as IsolationError {
      #expect(error.code == .timedOut)
      #expect(error.message.contains("2"))
    }
    mayGo.store(true, ordering: .releasing)
    thread.join()
  }
}

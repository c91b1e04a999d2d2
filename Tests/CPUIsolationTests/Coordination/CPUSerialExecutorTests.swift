// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// Actors on a CPU.
@Suite("Actors on CPUs")
struct CPUSerialExecutorTests {
  /// Counts without any protection but its executor's.
  actor Account {
    nonisolated let executor: Coordinator.CPUSerialExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor {
      unsafe executor.asUnownedSerialExecutor()
    }
    private let coordinator: Coordinator
    private let isInside = Atomic<Bool>(false)
    private(set) var count = 0
    private(set) var overlaps = 0
    private(set) var sights: [CPUExecutorTests.Sight] = []

    init(_ executor: Coordinator.CPUSerialExecutor, _ coordinator: Coordinator) {
      self.executor = executor
      self.coordinator = coordinator
    }

    func add() {
      if isInside.exchange(true, ordering: .relaxed) { overlaps += 1 }
      count += 1
      isInside.store(false, ordering: .relaxed)
    }

    func addSlowly() async {
      add()
      await Task.yield()
      add()
    }

    func look() { sights.append(CPUExecutorTests.look(coordinator)) }
  }

  private func shutDown(_ executor: Coordinator.CPUSerialExecutor) throws -> WaitOutcome {
    try PlainThread.start { executor.shutDown(timeout: .seconds(120)) }.value()
  }

  @Test("an actor runs in kernel on the executor's CPU, and after its end on none")
  func runs() async throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let executor = try coordinator.makeSerialExecutor(on: 2)
    let account = Account(executor, coordinator)
    await account.look()
    await account.look()
    #expect(try shutDown(executor) == .settled)
    #expect(coordinator.attached.isEmpty)
    await account.look()
    let here = CPUExecutorTests.Sight(cpu: 2, context: .kernel)
    #expect(await account.sights == [here, here, .init(cpu: nil, context: nil)])
    #expect(executor.queuedJobs == 0)
  }

  @Test(
    "jobs before, during and after the end: none is lost, no two run at once",
    arguments: [false, true])
  func end(byClosing isClosing: Bool) async throws {
    let coordinator = try Coordinator(.scripted())
    let executor = try coordinator.makeSerialExecutor(on: 1)
    let account = Account(executor, coordinator)
    let other = Account(executor, coordinator)
    let (tasks, jobs) = (8, 250)
    let half = Flag()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<tasks {
        group.addTask {
          for job in 0..<jobs {
            if job == jobs / 2 { half.raise() }
            if (job + task) % 4 == 0 { await account.addSlowly() } else { await account.add() }
            await other.add()
          }
        }
      }
      group.addTask {
        while !half.isRaised { await Task.yield() }
        let outcome = try PlainThread.start {
          isClosing
            ? coordinator.close(timeout: .seconds(120)) : executor.shutDown(timeout: .seconds(120))
        }.value()
        #expect(outcome == .settled)
      }
      try await group.waitForAll()
    }
    #expect(await account.overlaps == 0)
    #expect(await other.overlaps == 0)
    #expect(await account.count == tasks * jobs + tasks * jobs / 4)
    #expect(await other.count == tasks * jobs)
    _ = try PlainThread.start { coordinator.close(timeout: .seconds(120)) }.value()
  }

  @Test("what was sent before a job was queued has run before it")
  func handlersFirst() async throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    let work = try coordinator.register("count", counting: runs)
    let executor = try coordinator.makeSerialExecutor(on: 1)
    let account = Account(executor, coordinator)
    for number in 1...100 {
      coordinator.send(work, to: 1)
      await account.add()
      #expect(runs.value >= number)
    }
    #expect(try shutDown(executor) == .settled)
  }
}

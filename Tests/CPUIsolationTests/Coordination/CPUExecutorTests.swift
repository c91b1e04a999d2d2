// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// Swift tasks on CPUs.
@Suite("Tasks on CPUs")
struct CPUExecutorTests {
  /// What a job sees of where it runs.
  struct Sight: Sendable, Equatable {
    var cpu: Int?
    var context: CPUContext?
  }

  static func look(_ coordinator: Coordinator) -> Sight {
    Sight(cpu: coordinator.currentCPU, context: coordinator.currentHandle?.context)
  }

  /// Waits outside the pool of tasks: the calling test blocks its thread for a moment.
  func shutDown(_ executor: Coordinator.CPUExecutor) throws -> WaitOutcome {
    try PlainThread.start { executor.shutDown(timeout: .seconds(120)) }.value()
  }

  @Test("a task runs in kernel on the executor's CPU, also after an await")
  func runs() async throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let executor = try coordinator.makeTaskExecutor(on: [2])
    let sights = await Task(executorPreference: executor) {
      let first = Self.look(coordinator)
      await Task.yield()
      return [first, Self.look(coordinator)]
    }.value
    #expect(sights == Array(repeating: Sight(cpu: 2, context: .kernel), count: 2))
    #expect(Self.look(coordinator) == Sight(cpu: nil, context: nil))
    #expect(try shutDown(executor) == .settled)
    #expect(coordinator.attached.isEmpty)
  }

  @Test(
    "10 000 jobs beside deferred work: none lost, handlers before whatever could see older state")
  func churn() async throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    final class Shared: Sendable { let published = Atomic<Int>(0) }
    let shared = Shared()
    let cache = Coordinator.PerCPU(coordinator) { _ in 0 }
    let refresh = try coordinator.register("refresh") {
      cache[$0] = shared.published.load(ordering: .acquiring)
    }
    let executor = try coordinator.makeTaskExecutor(on: [1, 2])
    let (stop, rounds, stale) = (Flag(), Counter(), Counter())
    let churn = PlainThread.start {
      while !stop.isRaised {
        shared.published.wrappingAdd(1, ordering: .acquiringAndReleasing)
        coordinator.send(refresh, to: [1, 2])
        Flag.pause()
      }
    }
    let jobs = 10_000, tasks = 8
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<tasks {
        group.addTask {
          for _ in 0..<jobs / tasks {
            let version = shared.published.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue
            coordinator.send(refresh, to: [1, 2])
            await Task(executorPreference: executor) {
              // The CPU entered, or passed a safe point, after the send.
              if cache[coordinator.currentCPU!] < version { stale.increment() }
              rounds.increment()
            }.value
          }
        }
      }
    }
    stop.raise()
    try churn.value()
    #expect(rounds.value == jobs)
    #expect(stale.value == 0)
    #expect(try shutDown(executor) == .settled)
    coordinator.expectBalance(of: refresh)
  }

  @Test("what is queued at the shutdown runs, and what comes after it runs elsewhere")
  func shutdown() async throws {
    let coordinator = try Coordinator(.scripted())
    let executor = try coordinator.makeTaskExecutor(on: [1])
    let (begun, mayEnd, runs) = (Flag(), Flag(), Counter())
    let first = Task(executorPreference: executor) {
      begun.raise()
      mayEnd.sleepUntilRaised()
      await Task.yield()
      runs.increment()
      return coordinator.currentCPU
    }
    begun.wait()
    let queued = (0..<100).map { _ in Task(executorPreference: executor) { runs.increment() } }
    #expect(eventually { executor.queuedJobs == 100 })
    let end = PlainThread.start { executor.shutDown(timeout: .seconds(120)) }
    mayEnd.raise()
    for task in queued { await task.value }
    // Where its second half ran depends on which of the two came first.
    _ = await first.value
    #expect(runs.value == 101)
    #expect(try end.value() == .settled)
    let late = await Task(executorPreference: executor) { coordinator.currentCPU }.value
    #expect(late == nil)
    #expect(executor.queuedJobs == 0)
  }

  @Test("the end of the coordinator ends the executor, and loses no job")
  func close() async throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let executor = try coordinator.makeTaskExecutor(on: [1, 2])
    await Task(executorPreference: executor) {}.value
    let outcome = try PlainThread.start { coordinator.close(timeout: .seconds(120)) }.value()
    #expect(outcome == .settled)
    #expect(await Task(executorPreference: executor) { 42 }.value == 42)
    #expect(try shutDown(executor) == .settled)
  }

  @Test(
    "calls and immediate work reach a CPU that waits for jobs",
    arguments: [Interrupter.park, .poll, .signal])
  func reached(interrupter: Interrupter) async throws {
    let coordinator = try Coordinator(.scripted(isolated: 1, interrupter))
    let executor = try coordinator.makeTaskExecutor(on: [1])
    for _ in 0..<20 {
      let outcome = try PlainThread.start {
        coordinator.call(on: [1], timeout: .seconds(120)) { _ in }[.executed]
      }.value()
      #expect(outcome == [1])
      await Task(executorPreference: executor) {}.value
    }
    #expect(try shutDown(executor) == .settled)
  }

  @Test("a grace period ends while jobs never do")
  func gracePeriod() async throws {
    let coordinator = try Coordinator(.scripted())
    let executor = try coordinator.makeTaskExecutor(on: [1])
    let stop = Flag()
    let busy = Task(executorPreference: executor) { while !stop.isRaised { await Task.yield() } }
    let outcome = try PlainThread.start { coordinator.synchronize(timeout: .seconds(120)) }.value()
    #expect(outcome == .settled)
    stop.raise()
    await busy.value
    #expect(try shutDown(executor) == .settled)
  }

  @Test("no executor without CPUs, nor on one that has a thread; then no thread stays")
  func refused() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    #expect(
      coordinatorError { _ = try coordinator.makeTaskExecutor(on: []) }?.code
        == .invalidConfiguration)
    let cpu = try ScriptedThread(coordinator, on: 2)
    #expect(
      coordinatorError { _ = try coordinator.makeTaskExecutor(on: [1, 2]) }?.code == .cpuTaken)
    #expect(coordinator.attached == [2])
    try cpu.end()
  }

  @Test("jobs come out as they went in, however full the queue was")
  func queue() {
    var queue = JobQueue<Int>()
    var (next, expected) = (0, 0)
    for round in 0..<200 {
      for _ in 0..<round % 17 {
        queue.append(next)
        next += 1
      }
      for _ in 0..<round % 13 where expected < next {
        #expect(queue.popFirst() == expected)
        expected += 1
      }
      #expect(queue.count == next - expected)
    }
    while let job = queue.popFirst() {
      #expect(job == expected)
      expected += 1
    }
    #expect(expected == next && next > 1000)
  }
}

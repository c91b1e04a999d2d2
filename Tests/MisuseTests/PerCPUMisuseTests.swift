// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

private actor Shutting {
  nonisolated let executor: Coordinator.CPUSerialExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }

  init(executor: Coordinator.CPUSerialExecutor) { self.executor = executor }

  func shutDown() { Self.end(executor) }
  nonisolated private static func end(_ executor: Coordinator.CPUSerialExecutor) {
    executor.shutDown()
  }
}

@Suite("Misuse of values per CPU and executors")
struct PerCPUMisuseTests {
  @Test("a value touched by a thread that is no CPU")
  func foreignThread() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let values = Coordinator.PerCPU(coordinator) { _ in 0 }
        values[1] += 1
      }
    }
    result.expect("the value of CPU 1 was touched by a thread that is not attached to it")
  }

  @Test("a value touched after its coordinator has gone")
  func goneCoordinator() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let values = Coordinator.PerCPU(try Coordinator.make()) { _ in 0 }
        values[1] += 1
      }
    }
    result.expect("the value of CPU 1 was touched by a thread that is not attached to it")
  }

  @Test("a value touched in user")
  func inUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let values = Coordinator.PerCPU(coordinator) { _ in 0 }
        let cpu = try coordinator.attachHandle(to: 1)
        cpu.enterUser()
        _ = values[1]
      }
    }
    result.expect("CPU 1 touched its value without having entered kernel")
  }

  @Test("another CPU's value")
  func otherCPU() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let values = Coordinator.PerCPU(coordinator) { _ in 0 }
        _ = try coordinator.attachHandle(to: 1)
        values[3] = 1
      }
    }
    result.expect("the value of CPU 3 was touched by a thread that is not attached to it")
  }

  @Test("the value of a CPU that there is not")
  func noSuchCPU() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let values = Coordinator.PerCPU(try Coordinator.make()) { _ in 0 }
        _ = values[2]
      }
    }
    result.expect("there is no CPU 2 with a value")
  }

  @Test("a handler that runs in the middle of its CPU's touch")
  func nested() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let values = Coordinator.PerCPU(coordinator) { _ in [0] }
        let work = try coordinator.register("append") { values[$0].append(1) }
        let cpu = try coordinator.attachHandle(to: 1)
        func change(_ value: inout [Int]) {
          coordinator.send(work, to: 1)
          cpu.safePoint()
        }
        change(&values[1])
      }
    }
    result.expect("the value of CPU 1 was touched in the middle of another touch")
  }

  @Test("a thread that asks for its value in the middle of its own touch")
  func nestedCurrent() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let values = Coordinator.PerCPU(coordinator) { _ in [0] }
        _ = try coordinator.attachHandle(to: 1)
        _ = values.withCurrent { _ in values.withCurrent { $0.count } }
      }
    }
    result.expect("the value of CPU 1 was touched in the middle of another touch")
  }

  @Test("a serial executor that one of its own jobs shuts down")
  func ownSerialExecutor() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let executor = try Coordinator.make().makeSerialExecutor(on: 1)
      await Shutting(executor: executor).shutDown()
    }
    result.expect("CPU 1 cannot shut down its own executor: it would wait for itself")
  }

  @Test("an executor that one of its own jobs shuts down")
  func ownExecutor() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let executor = try Coordinator.make().makeTaskExecutor(on: [1])
      func shutDown() { executor.shutDown() }
      await Task(executorPreference: executor) { shutDown() }.value
    }
    result.expect("CPU 1 cannot shut down its own executor: it would wait for itself")
  }
}

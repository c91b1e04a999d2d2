// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/Embedding.md shows: every piece of Swift on the page stands here, line by line.
@Suite("The article on embedding")
struct EmbeddingArticleTests {
  final class RoutingTable: Sendable {
    let routes: [String: Int]
    init(_ routes: [String: Int] = [:]) { self.routes = routes }
    func target(of path: String) -> Int? { routes[path] }
  }

  @Test("one object that everybody reads")
  func protectedReference() {
    let routes = ProtectedReference(RoutingTable())
    let newTable = RoutingTable(["/": 1])
    let path = "/"
    do {
      // any thread, a task between two awaits included
      let target = routes.withObject { $0.target(of: path) }
      #expect(target == nil)
    }
    // a thread that changes it
    routes.replace(with: newTable)
    #expect(routes.withObject { $0.target(of: path) } == 1)
  }

  @Test("an actor that runs on a CPU")
  func actorOnCPU() async throws {
    let coordinator = try Coordinator(.scripted())
    actor Sessions {
      nonisolated let executor: Coordinator.CPUSerialExecutor
      nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
      }
      private(set) var opened = 0
      init(_ executor: Coordinator.CPUSerialExecutor) { self.executor = executor }
      func open() { opened += 1 }
    }
    let sessions = Sessions(try coordinator.makeSerialExecutor(on: 1))
    await sessions.open()
    #expect(await sessions.opened == 1)
    #expect(try PlainThread.start { coordinator.close(timeout: .seconds(120)) }.value() == .settled)
  }

  /// A loop of a server's own runtime.
  final class Loop: Sendable {
    private let isAwake = Flag()
    let served = Counter()
    func wakeUp() { isAwake.raise() }
    func sleep() { isAwake.sleepUntilRaised() }
    func serve() { served.increment() }
  }

  @Test("a loop that sleeps outside the library")
  func loop() throws {
    let coordinator = try Coordinator(.scripted())
    let loop = Loop()
    let end = PlainThread.start {
      Result {
        let cpu = try coordinator.attachHandle(to: 1) { loop.wakeUp() }
        while !coordinator.isClosed {
          if cpu.beginIdle() {  // false: something came, and has run
            loop.sleep()
            cpu.endIdle()  // what was deferred has run
          }
          loop.serve()
        }
        cpu.detach()
      }
    }
    #expect(eventually { coordinator.context(of: 1) == .idle })
    #expect(coordinator.close(timeout: .seconds(120)) == .settled)
    try end.value().get()
    #expect(loop.served.value >= 1)
  }

  @Test("what a loop keeps, and code that was not handed the handle")
  func values() throws {
    let coordinator = try Coordinator(.scripted())
    let caches = Coordinator.PerCPU(coordinator) { _ in [String: Int]() }
    let flush = try coordinator.register("flush") { cpu in caches[cpu].removeAll() }
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.run { _ in
      caches[1]["a"] = 1
      coordinator.currentHandle?.enterUser()
    }
    #expect(coordinator.send(flush, to: 1) == .deferred)
    let isEmpty = try cpu.run { _ in
      if let cpu = coordinator.currentHandle { cpu.enterKernelIfNeeded() }
      return caches[1].isEmpty
    }
    #expect(isEmpty)
    try cpu.end()
  }

  @Test("the end names who stays")
  func shutdown() throws {
    let coordinator = try Coordinator(.scripted())
    if case .timedOut(let cpus) = coordinator.close(timeout: .seconds(2)) {
      print("CPUs \(cpus) have not left; pending:", coordinator.pendingWork)
    }
    #expect(coordinator.isClosed)
  }

  @Test("tasks on CPUs")
  func tasks() async throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let caches = Coordinator.PerCPU(coordinator) { ["a": $0] }
    let executor = try coordinator.makeTaskExecutor(on: [1, 2])
    let answer = await Task(executorPreference: executor) { caches[coordinator.currentCPU!]["a"] }
      .value
    #expect(answer == 1 || answer == 2)
    let end = PlainThread.start { executor.shutDown(timeout: .seconds(120)) }
    #expect(try end.value() == .settled)
  }

  @Test("the closure's type, spelled")
  func spelled() throws {
    let coordinator = try Coordinator(.scripted())
    let thread = try coordinator.launch(on: 1) { (cpu: borrowing LocalCPU) in
      cpu.inUser { while !coordinator.isClosed { cpu.poll() } }
    }
    coordinator.close()
    thread.join()
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Coordinator+Threads")
struct CoordinatorThreadsTests {
  @Test("a CPU has one thread at a time, started or brought")
  func cpuTaken() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    let launched = coordinatorError { try coordinator.launch(on: 1) { _ in } }
    let attached = coordinatorError { try coordinator.attach(to: 1).detach() }
    let handle = coordinatorError { _ = try coordinator.attachHandle(to: 1) }
    for error in [launched, attached, handle] { #expect(error?.code == .cpuTaken) }
    #expect(launched?.description == "CPU 1 has a thread already")
    try cpu.end()
    try ScriptedThread(coordinator, on: 1).end()
  }

  @Test("a thread is one CPU at a time, of one coordinator")
  func threadAttached() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let other = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    for (target, number) in [(coordinator, 2), (coordinator, 1), (other, 1)] {
      let code = try cpu.run { _ in
        coordinatorError { try target.attach(to: number).detach() }?.code
      }
      #expect(code == .threadAlreadyAttached)
    }
    try cpu.end()
  }

  @Test("whose thread this is, each coordinator knows for itself")
  func currentCPU() throws {
    let coordinator = try Coordinator(.scripted())
    let other = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    #expect(try cpu.run { _ in coordinator.currentCPU } == 1)
    #expect(try cpu.run { _ in other.currentCPU } == nil)
    #expect(try PlainThread.start { coordinator.currentCPU }.value() == nil)
    try cpu.end()
  }

  @Test("a body that begins is in kernel, and its CPU is there")
  func launch() throws {
    let coordinator = try Coordinator(.scripted())
    let seen = try coordinator.launchOnce(on: 1) {
      [$0.context, coordinator.context(of: $0.number)]
    }
    #expect(seen == [.kernel, .kernel])
    #expect(coordinator.context(of: 1) == .offline)
    #expect(coordinator.attached.isEmpty)
  }

  @Test("a processor that does not exist: an error that names it, or no binding")
  func pinning() throws {
    var configuration = Coordinator.Configuration.scripted()
    configuration.pinning = .processors([1: 1_000])
    let error = coordinatorError { _ = try Coordinator(configuration) }
    #expect(error?.code == .invalidConfiguration)
    #expect(
      error?.message.hasPrefix("CPU 1 cannot be on processor 1000: this machine has 0 to ") == true)

    var wide = Coordinator.Configuration(housekeeping: [0], isolated: [1_000])
    wide.watchdog = nil
    let lenient = try Coordinator(wide)
    let cpu = try ScriptedThread(lenient, on: 1_000)
    #expect(!cpu.isPinned)
    try cpu.end()

    wide.pinning = .sameNumber
    let sameNumber = try Coordinator(wide)
    let refused = coordinatorError { try sameNumber.launch(on: 1_000) { _ in } }
    #expect(refused?.code == .pinningRefused)
    #expect(refused?.errno == EINVAL)
    #expect(
      refused?.description
        == "cannot bind CPU 1000 to processor 1000: EINVAL: invalid argument; "
        + "the processor has to be online, in the process's cpuset, and below 1024")
    #expect(sameNumber.context(of: 1_000) == .offline)
  }

  @Test("a thread is bound to the processor that the map names, others are not bound")
  func processors() throws {
    var configuration = Coordinator.Configuration.scripted(isolated: 2)
    let allowed = try CPUMask(
      cpuList: #require(ThreadStatus.current()["Cpus_allowed_list"]), width: 8_192)
    let processor = try #require(allowed.last)
    configuration.pinning = .processors([1: processor])
    let coordinator = try Coordinator(configuration)
    let bound = try ScriptedThread(coordinator, on: 1)
    let free = try ScriptedThread(coordinator, on: 2)
    #expect(bound.isPinned)
    #expect(!free.isPinned)
    let boundTo = try bound.run { _ in ThreadStatus.current()["Cpus_allowed_list"] }
    #expect(boundTo == "\(processor)")
    try bound.end()
    try free.end()
  }

  @Test("a stack that is none and a priority that is none are refused")
  func refusals() throws {
    let coordinator = try Coordinator(.scripted())
    for size in [-1, 1, 16_384, CPUThread.Options.minimumStackSize - 1] {
      let error = coordinatorError {
        try coordinator.launch(on: 1, options: .init(stackSize: size)) { _ in }
      }
      #expect(error?.code == .invalidConfiguration)
      #expect(
        error?.description == "the stack of CPU 1 cannot be \(size) bytes: it takes 65536")
    }
    let small = CPUThread.Options(stackSize: CPUThread.Options.minimumStackSize)
    try coordinator.launch(on: 1, options: small) { cpu in cpu.inUser { cpu.poll() } }.join()
    var scheduling = CPUThread.Options()
    scheduling.scheduling = .fifo(priority: 1_000)
    let noClass = coordinatorError { try coordinator.launch(on: 1, options: scheduling) { _ in } }
    #expect(noClass?.code == .schedulingRefused)
    #expect(noClass?.errno == EINVAL)
    // Neither left anything behind.
    try ScriptedThread(coordinator, on: 1).end()
  }

  @Test(
    "a thread carries its name, cut to what the kernel takes",
    arguments: [nil, "a-name-of-21-letters"])
  func name(name: String?) throws {
    let coordinator = try Coordinator(.scripted())
    var options = CPUThread.Options()
    options.name = name
    options.stackSize = 1 << 20
    options.timerSlack = .microseconds(1)
    options.scheduling = .other
    let cpu = try ScriptedThread(coordinator, on: 1, options: options)
    let seen = try cpu.run { _ in ThreadStatus.current()["Name"] }
    #expect(seen == name.map { String($0.prefix(15)) } ?? "cpu/1")
    try cpu.end()
  }

  @Test("several threads may join one")
  func join() throws {
    let coordinator = try Coordinator(.scripted())
    let mayEnd = Flag()
    let thread = try coordinator.launch(on: 1) { _ in mayEnd.wait() }
    let joins = (0..<3).map { _ in PlainThread.start { thread.join() } }
    #expect(joins.allSatisfy { !$0.isOver })
    mayEnd.raise()
    for join in joins { #expect(try join.value() == .settled) }
    #expect(coordinator.context(of: 1) == .offline)
  }

  @Test("a coordinator does not remember every thread it ever had")
  func memory() throws {
    let coordinator = try Coordinator(.scripted())
    for _ in 0..<50 { try coordinator.launch(on: 1) { _ in }.join() }
    let senders = coordinator.registry.withLock { $0.senders.count }
    #expect(senders <= 4)
  }
}

extension Coordinator {
  /// Launches a thread for one question, and joins it.
  fileprivate func launchOnce<Result: Sendable>(
    on cpu: Int, _ body: @escaping @Sendable (borrowing LocalCPU) -> Result
  ) throws -> Result {
    let step = Step<Result>()
    try launch(on: cpu) { step.finish(body($0)) }.join()
    return try step.value()
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import InMemoryLogging
import Logging
import MetricsTestKit
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite("Isolated event loops", .timeLimit(.minutes(10)))
struct IsolatedEventLoopsTests {
  final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .acquiring) }
    func increment() { count.wrappingAdd(1, ordering: .acquiringAndReleasing) }
  }

  /// Whether it comes true, in a time that any machine keeps.
  static func eventually(_ condition: () -> Bool) async -> Bool {
    let end = ContinuousClock.now + .seconds(120)
    while !condition() {
      if .now > end { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    return true
  }

  static func makeCoordinator(watched: Bool = false) throws -> Coordinator {
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: [1, 2], pinning: .none)
    configuration.watchdog = watched ? .init(interval: .milliseconds(1)) : nil
    return try Coordinator(configuration)
  }

  /// Waits until a loop says idle: it is in epoll, or about to be.
  static func sleeps(_ coordinator: Coordinator, _ cpu: Int) async -> Bool {
    await eventually { coordinator.context(of: cpu) == .idle }
  }

  @Test("a call to a loop asleep in epoll answers")
  func call() async throws {
    let coordinator = try Self.makeCoordinator()
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    for _ in 0..<50 {
      #expect(await Self.sleeps(coordinator, 1))
      let report = try await NIOThreadPool.singleton.runIfActive {
        coordinator.call(on: [1, 2], timeout: .seconds(120)) { _ in }
      }
      #expect(report[.executed] == [1, 2])
    }
    #expect(try await loops.shutDown() == .settled)
  }

  @Test("immediate work, and what is too old, runs in a loop asleep in epoll")
  func immediateAndOld() async throws {
    let coordinator = try Self.makeCoordinator(watched: true)
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let runs = Counter()
    var options = WorkType.Options()
    let work = try coordinator.register("work", options: options) { _ in runs.increment() }
    options.maximumAge = .milliseconds(10)
    let aging = try coordinator.register("aging", options: options) { _ in runs.increment() }
    for round in 0..<20 {
      #expect(await Self.sleeps(coordinator, 2))
      coordinator.send(work, to: 2, urgency: .immediate)
      #expect(await Self.eventually { runs.value == 2 * round + 1 })
      #expect(await Self.sleeps(coordinator, 2))
      coordinator.send(aging, to: 2)
      #expect(await Self.eventually { runs.value == 2 * round + 2 })
    }
    let statistics = coordinator.statistics()
    #expect(statistics[work].sent == 20 && statistics[work].executed == 20)
    #expect(statistics[aging].escalated >= 1)
    #expect(try await loops.shutDown() == .settled)
  }

  @Test("a deferred change wakes no loop, and is there at its next look")
  func loopLocal() async throws {
    let coordinator = try Self.makeCoordinator()
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let table = try LoopLocal("table", loops, 0)
    for loop in loops.group.makeIterator() {
      #expect(try await loop.submit { table.value }.get() == 0)
    }
    #expect(await Self.sleeps(coordinator, 1))
    #expect(await Self.sleeps(coordinator, 2))
    let before = (1...2).map { coordinator.statistics()[cpu: $0].transitions }
    for _ in 0..<1000 { table.update { $0 += 1 } }
    let refresh = try #require(coordinator.workTypes.first { $0.name == "table" }?.type)
    #expect(coordinator.statistics()[refresh].executed == 0)
    #expect((1...2).map { coordinator.statistics()[cpu: $0].transitions } == before)
    #expect(table.value == 1000, "outside the loops")
    for loop in loops.group.makeIterator() {
      #expect(try await loop.submit { table.value }.get() == 1000)
    }
    // A loop sees its own change at once.
    let own = try await loops.group.next().submit {
      table.update { $0 += 1 }
      return table.value
    }.get()
    #expect(own == 1001)
    #expect(coordinator.statistics()[refresh].interrupted == 0)
    #expect(try await loops.shutDown() == .settled)
    #expect(coordinator.pendingWork.isEmpty)
  }

  @Test("the end of the coordinator reaches loops that sleep, in either order")
  func close() async throws {
    let coordinator = try Self.makeCoordinator()
    let loops = try await IsolatedEventLoops(coordinator, on: [1])
    let first = try await NIOThreadPool.singleton.runIfActive { coordinator.close(timeout: .zero) }
    #expect(first == .timedOut([1]), "the loop is named")
    #expect(try await loops.shutDown(timeout: .seconds(120)) == .settled)

    let other = try Self.makeCoordinator()
    let others = try await IsolatedEventLoops(other, on: [1, 2])
    // The loops end first: their threads' ends detach them.
    try await others.group.shutdownGracefully()
    #expect(await Self.eventually { other.attached.isEmpty })
    let second = try await NIOThreadPool.singleton.runIfActive {
      other.close(timeout: .seconds(120))
    }
    #expect(second == .settled)
  }

  @Test("a CPU that is taken is told, and no loop stays attached")
  func taken() async throws {
    let coordinator = try Self.makeCoordinator()
    let loops = try await IsolatedEventLoops(coordinator, on: [2])
    do {
      _ = try await IsolatedEventLoops(coordinator, on: [1, 2])
      Issue.record("two loops are CPU 2")
    } catch let error as IsolationError {
      #expect(error.code == .cpuTaken)
    }
    #expect(await Self.eventually { coordinator.attached == [2] })
    #expect(try await loops.shutDown() == .settled)
  }

  @Test("figures become metrics, and stalls log entries")
  func conformances() async throws {
    let coordinator = try Self.makeCoordinator()
    let loops = try await IsolatedEventLoops(coordinator, on: [1])
    let work = try coordinator.register("flush") { _ in }
    coordinator.send(work, to: 2)
    let metrics = TestMetrics()
    coordinator.recordMetrics(in: metrics)
    let sent = try metrics.expectMeter("cpuisolation.work.sent", [("work", "flush")])
    #expect(sent.lastValue == 1)
    let text = coordinator.statistics().prometheusText()
    #expect(text.contains("\ncpuisolation_work_sent_total{work=\"flush\"} 1\n"), "\(text)")
    #expect(text.contains("\ncpuisolation_cpu_transitions{cpu=\"1\"} "), "\(text)")
    let types = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
    #expect(Set(types).count == types.count, "each family once")
    #expect(Coordinator.StallReport.Severity.error.level == .error)
    #expect(try await loops.shutDown() == .settled)
  }

  @Test("a stalled handler is logged with its severity and its parts")
  func stalls() async throws {
    let handler = InMemoryLogHandler()
    let logger = Logger(label: "stalls") { _ in handler }
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: [1], pinning: .none)
    configuration.watchdog = .init(
      interval: .milliseconds(1), stallThreshold: .milliseconds(20)
    ) { $0.log(to: logger) }
    let coordinator = try Coordinator(configuration)
    let loops = try await IsolatedEventLoops(coordinator, on: [1])
    let mayGo = Counter()
    let stuck = try coordinator.register("stuck") { _ in while mayGo.value == 0 { usleep(100) } }
    coordinator.send(stuck, to: 1, urgency: .immediate)
    #expect(await Self.eventually { handler.entries.contains { $0.level == .error } })
    mayGo.increment()
    #expect(await Self.eventually { handler.entries.contains { $0.level == .notice } })
    let entry = try #require(handler.entries.first { $0.level == .error })
    #expect(entry.metadata["work"] == "stuck" && entry.metadata["cpu"] == "1")
    #expect(try await loops.shutDown() == .settled)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import CPUIsolation

/// What numbers cost that are no CPUs, and CPUs that have no thread. Each in a process of its own,
/// whose memory nobody else touches.
@Suite("Wide coordinators")
struct WidthTests {
  /// The memory that the process has in use, in bytes.
  static func resident() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    return Int(text.split(separator: " ")[1])! * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  @Test("a number that is no CPU costs nothing, and every operation passes it by")
  func gaps() async {
    await #expect(processExitsWith: .success) {
      _ = try Coordinator(.scripted())
      let before = try WidthTests.resident()
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [8191])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let ran = Counter()
      let work = try coordinator.register("work") { cpu in if cpu == 8191 { ran.increment() } }
      guard coordinator.send(work, to: 8191) == .gone else { exit(2) }
      let thread = try ScriptedThread(coordinator, on: 8191)
      try thread.enterUser()
      guard coordinator.send(work, to: 8191) == .deferred,
        coordinator.synchronize(timeout: .seconds(60)) == .settled
      else { exit(3) }
      try thread.enterKernel()
      guard ran.value == 1, coordinator.cpus == [0, 8191], coordinator.attached == [8191] else {
        exit(4)
      }
      try thread.end()
      // It was 118 MB.
      let growth = try WidthTests.resident() - before
      if growth > 8 << 20, !Sanitizer.isPresent {
        print("\(growth) bytes")
        exit(5)
      }
    }
  }

  @Test("a CPU without a thread costs a page or two, also one that was sent to")
  func all() async {
    await #expect(processExitsWith: .success) {
      _ = try Coordinator(.scripted())
      let before = try WidthTests.resident()
      var configuration = Coordinator.Configuration(
        housekeeping: [0], isolated: CPUMask(1..<8192))
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let growth = try WidthTests.resident() - before
      if growth > 8192 * 8192, !Sanitizer.isPresent {
        print("\(growth) bytes")
        exit(2)
      }
      guard coordinator.synchronize(timeout: .seconds(60)) == .settled else { exit(3) }
    }
  }

  @Test("the watchdog looks at CPUs that have a thread, and at no others")
  func watched() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 8191])
    configuration.pinning = .none
    configuration.watchdog = .init(interval: .milliseconds(1))
    let coordinator = try Coordinator(configuration)
    func attached() -> CPUMask { coordinator.registry.withLock { $0.attached } }
    #expect(attached() == [])
    let thread = try ScriptedThread(coordinator, on: 8191)
    #expect(attached() == [8191])
    let work = try coordinator.register("work") { _ in }
    try thread.enterUser()
    coordinator.send(work, to: 8191)
    #expect(eventually { coordinator.statistics()[work].oldestPending ?? .zero > .zero })
    try thread.enterKernel()
    try thread.end()
    #expect(eventually { attached() == [] })
  }

  @Test("the watchdog remembers the CPUs of which there is something to see, and no others")
  func remembered() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: CPUMask(1..<8192))
    configuration.pinning = .none
    configuration.watchdog = .init()
    configuration.watchdog?.isManual = true
    let coordinator = try Coordinator(configuration)
    let watchdog = try #require(coordinator.watchdog)
    #expect(watchdog.advance(by: 1))
    let threads = try [1, 4000, 8191].map { try ScriptedThread(coordinator, on: $0) }
    for thread in threads { try thread.enterUser() }
    #expect(watchdog.advance(by: 1))
    #expect(watchdog.remembered == [])
    let work = try coordinator.register("work") { _ in }
    coordinator.send(work, to: 4000)
    #expect(!watchdog.advance(by: 1))
    #expect(watchdog.remembered == [4000])
    try threads[1].enterKernel()
    #expect(watchdog.advance(by: 1))
    #expect(watchdog.remembered == [])
    // A send of a type that is delivered by comparison writes to no CPU: all of them lag.
    let all = try coordinator.register("all", options: .init(delivery: .catchUp)) { _ in }
    coordinator.send(all, to: 1)
    #expect(!watchdog.advance(by: 1))
    #expect(watchdog.remembered == [1, 8191])
    for thread in [threads[0], threads[2]] { try thread.enterKernel() }
    #expect(watchdog.advance(by: 1))
    for thread in threads { try thread.end() }
  }

  @Test("the pause after a look that saw nothing is as long as the look was expensive")
  func pace() {
    let interval = Duration.milliseconds(5)
    var pace = WatchdogService.Pace()
    pace.lookEnded(used: 1_000, isQuiet: true, interval, atMost: 1_000_000_000)
    #expect(pace.pause == 5_000_000)
    // 25 µs more: a wake-up.
    pace.lookEnded(used: 26_000, isQuiet: true, interval, atMost: 1_000_000_000)
    #expect(pace.pause == 31_250_000)
    pace.lookEnded(used: 2_026_000, isQuiet: true, interval, atMost: 1_000_000_000)
    #expect(pace.pause == 1_000_000_000)
    // Something to see: the interval, whatever a look costs.
    pace.lookEnded(used: 4_026_000, isQuiet: false, interval, atMost: 1_000_000_000)
    #expect(pace.pause == 5_000_000)
    pace.lookEnded(used: .max, isQuiet: true, interval, atMost: 1_000)
    #expect(pace.pause == 5_000_000)
    // A clock that the system does not have.
    pace.lookEnded(used: 0, isQuiet: true, interval, atMost: 1_000_000_000)
    #expect(pace.pause == 5_000_000)
  }

  @Test("the pause is short beside the stall threshold and every maximum age")
  func longestPause() throws {
    var configuration = Coordinator.Configuration.scripted()
    configuration.watchdog = .init(stallThreshold: .milliseconds(300))
    let coordinator = try Coordinator(configuration)
    let watchdog = try #require(coordinator.watchdog)
    #expect(watchdog.longestPause == 150_000_000)
    let work = try coordinator.register("work", options: .init(maximumAge: .milliseconds(80))) {
      _ in
    }
    #expect(watchdog.longestPause == 10_000_000)
    _ = try coordinator.unregister(work)
    #expect(watchdog.longestPause == 150_000_000)
    configuration.watchdog = .init(stallThreshold: .seconds(Int64.max))
    #expect(try Coordinator(configuration).watchdog?.longestPause == 2_000_000_000)
  }

  @Test("statistics are of the CPUs that there are")
  func statistics() async throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [5, 8191])
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let thread = try ScriptedThread(coordinator, on: 8191)
    let work = try coordinator.register("work") { _ in }
    try thread.enterUser()
    coordinator.send(work, to: [5, 8191])
    let statistics = coordinator.statistics()
    #expect(statistics[work].sent == 2)
    #expect(statistics[work, on: 0].sent == 0)
    #expect(statistics[work, on: 5].gone == 1)
    #expect(statistics[work, on: 8191].pending == 1)
    #expect(statistics[cpu: 8191].transitions > 0)
    #expect(Array(statistics.samples(perCPU: true)).contains { $0.cpu == 8191 && $0.value == 1 })
    try thread.enterKernel()
    try thread.end()
    await #expect(processExitsWith: .failure) {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [8191])
      configuration.pinning = .none
      _ = try Coordinator(configuration).statistics()[cpu: 4]
    }
  }
}

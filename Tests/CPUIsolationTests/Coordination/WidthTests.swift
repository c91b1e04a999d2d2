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
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// Runs what has to fail, and returns the error.
func coordinatorError(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> IsolationError? {
  #expect(throws: IsolationError.self, sourceLocation: sourceLocation, performing: body)
}

@Suite("Coordinator.Configuration")
struct ConfigurationTests {
  typealias Configuration = Coordinator.Configuration

  static func watched(_ interval: Duration, _ threshold: Duration) -> Configuration {
    var configuration = Configuration.scripted()
    configuration.watchdog = .init()
    configuration.watchdog?.interval = interval
    configuration.watchdog?.stallThreshold = threshold
    return configuration
  }

  @Test(
    "contradictions are refused, and named",
    arguments: [
      (Configuration(housekeeping: [], isolated: []), "at least one CPU"),
      (Configuration(housekeeping: [0, 1], isolated: [1, 2]), "CPUs 1 are both"),
      (Configuration(housekeeping: [0, 200], isolated: [200]), "CPUs 200 are both"),
      (watched(.zero, .seconds(1)), "interval"),
      (watched(.seconds(-1), .seconds(1)), "interval"),
      (watched(.seconds(1), .zero), "stall threshold"),
    ])
  func invalid(configuration: Configuration, sentence: String) {
    let error = coordinatorError { _ = try Coordinator(configuration) }
    #expect(error?.code == .invalidConfiguration)
    #expect(error?.description.contains(sentence) == true, "\(String(describing: error))")
  }

  @Test("one role is enough, and numbers may have gaps")
  func gaps() throws {
    let coordinator = try Coordinator(.init(housekeeping: [], isolated: [2, 7]))
    #expect(coordinator.cpus == [2, 7])
    #expect(coordinator.isolated == [2, 7])
    #expect(coordinator.housekeeping.isEmpty)
    #expect(coordinator.context(of: 7) == .offline)
    #expect(coordinator.configuration.cpuCount == 8)
  }

  @Test("as many CPUs as a mask can hold")
  func widest() throws {
    var configuration = Configuration(housekeeping: [8_191], isolated: [])
    configuration.watchdog = nil
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let work = try coordinator.register("wide") { _ in }
    #expect(coordinator.send(work, to: 8_191) == .gone)
    #expect(try PlainThread.start { coordinator.currentCPU == nil }.value())
  }

  @Test("each role has its own interrupter")
  func interrupters() {
    var configuration = Configuration(housekeeping: [0], isolated: [1])
    #expect(configuration.interrupter(of: 0) == .park)
    #expect(configuration.interrupter(of: 1) == .poll)
    configuration.isolatedInterrupter = .signal
    configuration.housekeepingInterrupter = .poll
    #expect(configuration.interrupter(of: 0) == .poll)
    #expect(configuration.interrupter(of: 1) == .signal)
  }

  @Test("a signal that has a handler already is refused, and the handler stays")
  func signalTaken() {
    let before = signal(SIGUSR2) { _ in }
    defer { _ = signal(SIGUSR2, before) }
    var configuration = Configuration.scripted(.signal)
    configuration.interruptSignal = SIGUSR2
    let error = coordinatorError { _ = try Coordinator(configuration) }
    #expect(error?.code == .signalTaken)
    #expect(error?.errno == EBUSY)
    var action = sigaction()
    let result = unsafe sigaction(SIGUSR2, nil, &action)
    #expect(result == 0)
    #expect(unsafe action.__sigaction_handler.sa_handler != nil)
  }

  @Test("a signal that is ignored is free")
  func signalIgnored() throws {
    _ = signal(SIGURG, SIG_IGN)
    var configuration = Configuration.scripted(.signal)
    configuration.interruptSignal = SIGURG
    // Twice: a second coordinator shares the handler of the first.
    let first = try Coordinator(configuration)
    let second = try Coordinator(configuration)
    #expect(first.signal == second.signal)
    _ = signal(SIGURG, SIG_DFL)
  }

  @Test("a number that cannot be caught is refused", arguments: [SIGKILL, SIGSTOP, 0, -1, 4_096])
  func signalRefused(number: Int32) {
    var configuration = Configuration.scripted(.signal)
    configuration.interruptSignal = number
    let error = coordinatorError { _ = try Coordinator(configuration) }
    #expect(error?.code == .signalRefused)
    #expect(error?.errno == EINVAL)
  }

  @Test("no handler is installed where nobody is interrupted by signals")
  func noSignal() throws {
    var configuration = Configuration.scripted(.poll)
    configuration.interruptSignal = SIGKILL
    _ = try Coordinator(configuration)
  }

  @Test(
    "a signal that processors raise for faults is refused",
    arguments: [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP])
  func faults(number: Int32) {
    let error = coordinatorError {
      _ = try Coordinator(.init(housekeeping: [], isolated: [1], interruptSignal: number))
    }
    #expect(error?.code == .invalidConfiguration)
    #expect(
      error?.description
        == "the interrupt signal cannot be \(number): processors raise that for faults")
  }

  @Test("a trace ring keeps what memory can hold", arguments: [-1, Int.min, Int.max, 1 << 24 + 1])
  func traceEvents(count: Int) {
    let error = coordinatorError {
      _ = try Coordinator(.init(housekeeping: [0], isolated: [], traceEvents: count))
    }
    #expect(error?.code == .invalidConfiguration)
    #expect(
      error?.description == "a trace ring cannot keep \(count) events: it takes 0 to 16777216")
  }

  @Test("a map of processors names CPUs that there are, and gives each hot loop one of its own")
  func maps() {
    func message(_ map: [Int: Int]) -> String? {
      let error = coordinatorError {
        _ = try Coordinator(
          .init(housekeeping: [0], isolated: [1, 2], pinning: .processors(map), watchdog: nil))
      }
      return error?.message
    }
    #expect(message([3: 0]) == "the map of processors names CPU 3, which there is not")
    #expect(
      message([1: 0, 2: 0])
        == "CPUs 1 and 2 are both isolated, and cannot both be on processor 0")
    #expect(
      message([1: -1])?.hasPrefix("CPU 1 cannot be on processor -1: this machine has") == true)
    // Housekeeping shares with whom it likes.
    #expect(throws: Never.self) {
      try Coordinator(
        .init(
          housekeeping: [0], isolated: [1], pinning: .processors([0: 0, 1: 0]), watchdog: nil))
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// There is no such processor: the thread runs unpinned, or is refused, as the configuration says.
  @Test func affinityIsRefused() throws {
    let nonexistent = 1000
    func configuration(_ pinning: Coordinator.Configuration.Pinning) -> Coordinator.Configuration {
      var configuration = Coordinator.Configuration(housekeeping: [], isolated: [nonexistent])
      configuration.pinning = pinning
      configuration.watchdog = nil
      return configuration
    }
    let lenient = try Coordinator(configuration(.wherePossible))
    let thread = try lenient.launch(on: nonexistent) { local in local.inUser {} }
    #expect(!thread.isPinned)
    thread.join()
    let strict = try Coordinator(configuration(.sameNumber))
    do {
      try strict.launch(on: nonexistent) { _ in }
      Issue.record("a processor that does not exist was accepted")
    } catch {
      #expect(error.code == .pinningRefused)
      #expect(error.errno != 0)
    }
    // The refusal leaves the slot free.
    #expect(strict.context(of: nonexistent) == .offline)
    strict.close(timeout: .seconds(20))
    let mapped = #expect(throws: IsolationError.self) {
      try Coordinator(configuration(.processors([nonexistent: nonexistent])))
    }
    #expect(mapped?.code == .invalidConfiguration)
  }

  /// Sixteen CPUs on whatever processors there are, all busy: slower, and right.
  @Test func fewerProcessorsThanCPUs() throws {
    let count = 16
    var configuration = Coordinator.Configuration(
      housekeeping: CPUMask(0..<4), isolated: CPUMask(4..<count))
    configuration.watchdog?.report = { _ in }
    let coordinator = try Coordinator(configuration)
    let runs = WordTable(count)
    let work = try coordinator.register("work") { cpu in runs.add(cpu) }
    let stop = SharedFlag()
    let threads = try (0..<count).map { cpu in
      try coordinator.launch(on: cpu) { local in
        while !stop.isSet {
          if cpu < 4 {
            local.idle(for: .milliseconds(1))
            coordinator.send(work, to: coordinator.isolated)
          } else {
            local.inUser {
              for _ in 0..<100 where stop.isSet { return }
              local.poll()
            }
          }
        }
      }
    }
    for round in 1...20 {
      let calls = SharedCounter()
      let report = coordinator.call(on: coordinator.cpus, timeout: StressDuration.generous) { _ in
        calls.add()
      }
      #expect(report[.executed] == coordinator.cpus, "round \(round): \(report)")
      #expect(calls.value == count)
      let ticket = coordinator.sendWithTicket(work, to: coordinator.cpus)
      #expect(ticket.wait(until: .executed, timeout: StressDuration.generous) == .settled)
      try coordinator.synchronize(timeout: StressDuration.generous).get()
    }
    stop.set()
    for thread in threads { thread.join() }
    let statistics = coordinator.statistics()
    for cpu in 0..<count {
      #expect(runs.load(cpu) >= 20)
      let counts = statistics[work, on: cpu]
      #expect(counts.executed == runs.load(cpu))
      #expect(counts.sent == counts.executed + counts.merged + counts.pending + counts.gone)
    }
  }

  /// The signal is somebody else's.
  @Test func signalIsTaken() throws {
    let taken: Int32 = 50
    signal(taken) { _ in }
    defer { signal(taken, SIG_DFL) }
    func coordinator(_ number: Int32) throws -> Coordinator {
      try Coordinator.quiet(isolated: [0]) {
        $0.isolatedInterrupter = .signal
        $0.interruptSignal = number
      }
    }
    for (number, code) in [(taken, IsolationError.Code.signalTaken), (SIGKILL, .signalRefused)] {
      do {
        _ = try coordinator(number)
        Issue.record("signal \(number) was accepted")
      } catch let error as IsolationError {
        #expect(error.code == code)
      }
    }
  }
}

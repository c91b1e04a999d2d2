// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CTorture
internal import Glibc
internal import Synchronization

/// A run: its worlds, its threads, what they have done and what they have found.
final class Torture: Sendable {
  let options: TortureOptions
  let faults: FaultInjector
  let violations: Violations
  let counts = OperationCounts()
  private let heartbeat: Int32
  private let over = Atomic(false)

  /// How many threads draw operations on all worlds.
  static let drivers = 4

  init(_ options: TortureOptions, heartbeat: Int32) {
    self.options = options
    self.heartbeat = heartbeat
    faults = FaultInjector(faults: options.faults)
    violations = Violations(seed: options.seed)
  }

  var isOver: Bool { over.load(ordering: .relaxed) }

  /// How long anything may take that must come to an end.
  static let generous = Duration.seconds(30)

  /// Runs until the time is over; 1 with violations, else 0.
  func run() -> Int32 {
    ctr_take_stop_signals(0)
    do {
      let worlds = try World.all(self)
      // Safety: the sender lives until the process ends.
      unsafe ctr_take_disturbances(
        faults.isOn(.delay) ? 200 : 0, faults.isOn(.yield), { unsafe SignalSender.send($0) },
        worlds[0].signalSender.context)
      let threads = start(worlds)
      let seconds = report()
      over.store(true, ordering: .sequentiallyConsistent)
      for thread in threads { thread.join() }
      for world in worlds { world.finish() }
      return verdict(after: seconds)
    } catch {
      violations.note("there is no world to torture: \(error)")
      return verdict(after: 0)
    }
  }

  private func start(_ worlds: [World]) -> [TortureThread] {
    var threads: [TortureThread?] = []
    for world in worlds {
      for cpu in 0..<World.cpus {
        threads.append(TortureThread { world.own(cpu) })
      }
    }
    for number in 0..<Self.drivers {
      threads.append(TortureThread { Driver.run(self, worlds, number) })
    }
    threads.append(TortureThread { Lifetime.run(self) })
    threads.append(TortureThread { Refusal.run(self, worlds) })
    threads.append(TortureThread { ForkedChild.run(self, worlds) })
    threads.append(TortureThread { self.faults.disturb(self) })
    if threads.contains(where: { $0 == nil }) { violations.note("a thread cannot be started") }
    return threads.compactMap { $0 }
  }

  /// A line a second; returns how many there were.
  private func report() -> Int {
    var memory = ResidentMemory(seconds: options.seconds)
    for second in 1...options.seconds {
      for _ in 0..<10 {
        usleep(100_000)
        if ctr_stop_signal() != 0 { break }
      }
      beat()
      let bytes = ResidentMemory.bytes
      if let complaint = memory.complaint(at: second, keeping: bytes) { violations.note(complaint) }
      let found = violations.collect()
      Output.line(
        "\(second) s: \(counts.summary), violations \(found), resident \(bytes >> 20) MiB")
      // What was seeded has been noticed, or somebody does not want to wait.
      if ctr_stop_signal() != 0 || found > 0 && options.bug != nil { return second }
    }
    return options.seconds
  }

  /// Tells the supervisor that the run goes on.
  func beat() {
    var byte: UInt8 = 1
    _ = unsafe write(heartbeat, &byte, 1)
  }

  private func verdict(after seconds: Int) -> Int32 {
    let found = violations.collect()
    for operation in Operation.allCases {
      let count = counts.count(of: operation)
      Output.line("  \(operation): \(count)")
    }
    if !faults.faults.isEmpty {
      let points = FaultPoint.allCases.map { "\($0.rawValue) \(faults.count(of: $0))" }
      Output.line("  points: \(points.joined(separator: ", ")); by signal \(ctr_disturbances())")
    }
    if found == 0 {
      Output.line("passed: \(seconds) s, seed \(options.seed), no violation")
      return 0
    }
    Output.line("FAILED: \(found) violations in \(seconds) s; again: \(options.replay)")
    return 1
  }
}

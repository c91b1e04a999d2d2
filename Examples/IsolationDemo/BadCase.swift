// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// The load that deferral is worst at: a loop that enters and leaves kernel as fast as it can, so
/// that nothing is saved, while every housekeeper sends as fast as it can.
final class BadCase: Sendable {
  private let coordinator: Coordinator
  private let cpu: Int
  private let works: [WorkType]
  private let limit: Duration
  private let stop = StopFlag()
  /// Rounds of sends that senders have made.
  private let rounds = Atomic<UInt64>(0)
  private let result = Mutex<Double>(0)
  private let failure = Mutex<IsolationError?>(nil)

  static let roundTripsPerBatch = 1000
  static let batches = 1000
  /// How long one of the two measurements may take at most.
  static let longestMeasurement = Duration.seconds(1)

  init(_ options: Options) throws(IsolationError) {
    cpu = options.isolated.first ?? 0
    limit = min(options.duration, Self.longestMeasurement)
    var configuration = Coordinator.Configuration(
      housekeeping: options.housekeeping, isolated: [cpu])
    configuration.isolatedInterrupter = .signal
    coordinator = try Coordinator(configuration)
    var works: [WorkType] = []
    for callback in Callback.original {
      var options = WorkType.Options()
      options.isInterruptSafe = true
      // The handler does nothing: the drain is measured, not what it runs.
      works.append(
        try unsafe coordinator.register(callback.name, options: options, context: nil) { _, _ in })
    }
    self.works = works
  }

  /// Measures the loop alone, then in the storm.
  func run(_ progress: Progress) throws(IsolationError) -> BadCaseReport {
    progress.show("bad case")
    let idle = try nanosecondsPerRoundTrip(inStorm: false)
    var senders: [CPUThread] = []
    defer {
      stop.set()
      for thread in senders { thread.join() }
      coordinator.close()
      progress.clear()
    }
    for cpu in coordinator.housekeeping {
      senders.append(try coordinator.launch(on: cpu) { [self] _ in storm() })
    }
    let storming = try nanosecondsPerRoundTrip(inStorm: true)
    if let error = failure.withLock({ $0 }) { throw error }
    return BadCaseReport(idle: idle, storm: storming)
  }

  private func nanosecondsPerRoundTrip(inStorm: Bool) throws(IsolationError) -> Double {
    let thread = try coordinator.launch(on: cpu) { [self] local in
      let nanoseconds = roundTrips(local, inStorm: inStorm)
      result.withLock { $0 = nanoseconds }
    }
    thread.join()
    return result.withLock { $0 }
  }

  /// The median of many short batches: one in which the thread was preempted does not count. In the
  /// storm, a batch in which nobody sent does not count either, since senders may have to share
  /// their processor with other programs; if that leaves none, all count.
  private func roundTrips(_ cpu: borrowing LocalCPU, inStorm: Bool) -> Double {
    var stormy: [UInt64] = []
    var calm: [UInt64] = []
    stormy.reserveCapacity(Self.batches)
    calm.reserveCapacity(Self.batches)
    let begin = CycleClock.now
    let limit = CycleClock.cycles(of: limit)
    repeat {
      let before = rounds.load(ordering: .relaxed)
      let start = CycleClock.now
      for _ in 0..<Self.roundTripsPerBatch {
        cpu.enterUser()
        cpu.enterKernel()
      }
      let cycles = CycleClock.now &- start
      if rounds.load(ordering: .relaxed) != before {
        stormy.append(cycles)
      } else if calm.count < Self.batches {
        calm.append(cycles)
      }
    } while (inStorm ? stormy : calm).count < Self.batches && CycleClock.now &- begin < limit
    var counted = inStorm && !stormy.isEmpty ? stormy : calm
    counted.sort()
    let median = CycleClock.duration(ofCycles: counted[counted.count / 2])
    return median / .nanoseconds(1) / Double(Self.roundTripsPerBatch)
  }

  private func storm() {
    do {
      let sender = try coordinator.makeSender()
      while !stop.isSet {
        for work in works { sender.send(work, to: cpu) }
        rounds.wrappingAdd(1, ordering: .relaxed)
      }
    } catch {
      failure.withLock { $0 = $0 ?? error }
    }
  }
}

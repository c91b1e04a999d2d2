// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import Dispatch
internal import Synchronization

/// A deferred send beside the system's ways to reach a thread at once. Only the sender's time
/// counts here; what the other thread loses comes on top for the peers, and is nothing for us.
enum WakeBenchmarks {
  static let all: [Benchmark] = [
    against("tgkill", "tgkill to a busy thread") { stage, count in
      with(stage, peer_busy_thread_start, peer_busy_thread_stop) {
        peer_busy_thread_signal(UInt64(count))
      }
    },
    against("futex-wake", "futex wake of a sleeping thread") { stage, count in
      with(stage, peer_parked_thread_start, peer_parked_thread_stop) {
        peer_parked_thread_wake(UInt64(count))
      }
    },
    against("dispatch-async", "DispatchQueue.async to an idle queue") { stage, count in
      dispatches(stage, count)
    },
  ]

  private static func against(
    _ name: String, _ peer: String, _ theirs: @escaping Benchmark.Sample
  ) -> Benchmark {
    Benchmark("deferred-send-against:\(name)", budget: 1.0 / 2000, against: peer, theirs) {
      stage, count in
      unsafe SendBenchmarks.newSends(stage, 1000 * count) {
        unsafe SendBenchmarks.sendEach($0, $1, to: Stage.ownCPU)
      }
    }.needing(.secondProcessor, count: 4)
  }

  /// Starts the other thread, measures, and stops it. It lives for one sample: a busy thread would
  /// be in the way of the other rows.
  private static func with(
    _ stage: borrowing Stage, _ start: (Int32) -> Int32, _ stop: () -> Void,
    _ cycles: () -> Double
  ) -> Double {
    guard let processor = stage.secondProcessor, start(processor) == 0 else { return .nan }
    defer { stop() }
    return cycles() * stage.clock.nanosecondsPerCycle
  }

  private static func dispatches(_ stage: borrowing Stage, _ count: Int) -> Double {
    guard let processor = stage.secondProcessor else { return .nan }
    let queue = DispatchQueue(label: "isolation-bench")
    let done = Ran()
    var cycles: UInt64 = 0
    for turn in 0...count {
      let took = stage.clock.cycles {
        queue.async {
          // A worker thread inherits the processor of whoever made it: this one has to be
          // another's.
          _ = peer_pin(processor)
          done.turn.store(turn, ordering: .releasing)
        }
      }
      while done.turn.load(ordering: .acquiring) != turn {}
      // The worker goes to sleep meanwhile.
      let start = CycleClock.now
      while CycleClock.now - start < CycleClock.cycles(of: .microseconds(30)) {}
      // The first one makes the queue and its thread.
      if turn > 0 { cycles += took }
    }
    return Double(cycles) * stage.clock.nanosecondsPerCycle / Double(count)
  }

  private final class Ran: Sendable {
    let turn = Atomic(-1)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a tracepoint costs: off, on, and with a filter.
///
/// The design's budgets are times and not ratios: there the peer is that time, over a loop that
/// does nothing else. Reading the cycle counter alone takes 8 to 10 ns. The limits of the rows
/// against C are a third above what was measured.
enum TraceBenchmarks {
  static let all: [Benchmark] = [
    Benchmark("tracepoint:off", budget: 1, against: "0.5 ns over the bare loop", { _, _ in 0.5 }) {
      stage, count in overhead(stage, .off, as: .cpu, count)
    },
    Benchmark("tracepoint:on", budget: 1, against: "20 ns over the bare loop", { _, _ in 20 }) {
      stage, count in overhead(stage, .on, as: .cpu, count)
    },
    Benchmark(
      "tracepoint:filtered", budget: 1, against: "10 ns over the bare loop", { _, _ in 10 }
    ) { stage, count in overhead(stage, .filteredOut, as: .cpu, count) },
    Benchmark(
      "tracepoint:passed", budget: 1, against: "30 ns over the bare loop, filter and record",
      { _, _ in 30 }
    ) { stage, count in overhead(stage, .passed, as: .cpu, count) },
    Benchmark(
      "tracepoint:protocol", budget: 1.5, against: "C, the same ring",
      { stage, count in
        inC(stage, count) { unsafe peer_records(ring, $0) }
      }
    ) { stage, count in overhead(stage, .on, as: .cpu, count) },
    Benchmark(
      "tracepoint:shared", budget: 1.6, against: "C, the same ring for many threads",
      { stage, count in
        inC(stage, count) { unsafe peer_records_shared(ring, $0) }
      }
    ) { stage, count in overhead(stage, .on, as: .otherThread, count) },
    Benchmark(
      "tracepoint:transitions", budget: 2.7, against: "C, entry and exit, an event at either",
      { stage, count in
        stage.time(count) { unsafe peer_round_trips_recorded(stage.peer, ring, UInt64(count)) }
      }
    ) { stage, count in
      let clock = stage.clock
      return TraceStage.runTransitions(recorded: true) { cpu in
        clock.time(count) { TransitionBenchmarks.roundTrips(cpu, count) }
      }
    },
  ]

  // Sendable: the samples run one after the other.
  nonisolated(unsafe) private static let ring = unsafe peer_ring_make()

  /// The nanoseconds that a tracepoint adds to a turn of a loop.
  private static func overhead(
    _ stage: borrowing Stage, _ fate: TraceStage.Fate, as place: TraceStage.Place, _ count: Int
  ) -> Double {
    let clock = stage.clock
    return TraceStage.run(fate, as: place) { tracepoint in
      let bare = clock.time(count) { turns(count) }
      return clock.time(count) { records(tracepoint, count) } - bare
    }
  }

  private static func inC(
    _ stage: borrowing Stage, _ count: Int, _ records: (UInt64) -> Void
  ) -> Double {
    let bare = stage.time(count) { turns(count) }
    return stage.time(count) { records(UInt64(count)) } - bare
  }

  @inline(never)
  private static func turns(_ count: Int) {
    for turn in 0..<count { peer_turn(UInt64(truncatingIfNeeded: turn)) }
  }

  @inline(never)
  static func records(_ tracepoint: Tracepoint, _ count: Int) {
    for turn in 0..<count {
      peer_turn(UInt64(truncatingIfNeeded: turn))
      tracepoint.record((UInt32(truncatingIfNeeded: turn) | 1, 7 as UInt32))
    }
  }
}

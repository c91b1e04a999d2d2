// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a pop and a push cost, beside the free list that counts who looks at a node.
///
/// A figure is the time from the beginning to the end over the pairs that all threads made together.
/// The other peers, and more threads, are in the experiment `pool-table`.
enum PoolBenchmarks {
  static let all: [Benchmark] =
    [
      row("pool:1x", threads: 1, budget: 1),
      // The design's line: five times as fast.
      row("pool:2x", threads: 2, budget: 0.2),
      row("pool:1x-held", threads: 1, isHeld: true, budget: 1.1),
      row("pool:2x-held", threads: 2, isHeld: true, budget: 1.1),
    ]

  private static func row(
    _ name: String, threads: Int, isHeld: Bool = false, budget: Double
  ) -> Benchmark {
    let run: @Sendable (PoolCrowd.Kind, borrowing Stage, Int) -> Double = { kind, stage, count in
      PoolCrowd(
        threads: threads, capacity: 10, cycles: isHeld ? PoolCrowd.microsecond(stage.clock) : 0,
        count: count, processors: PoolCrowd.allowed + [stage.secondProcessor].compactMap(\.self)
      ).run(kind)
    }
    let held = isHeld ? ", each object kept for 1 µs" : ""
    return Benchmark(
      name, budget: budget,
      against: "a list with a count in each node, \(threads) \(threads == 1 ? "thread" : "threads")"
        + held,
      { stage, count in run(.list, stage, count) }
    ) { stage, count in run(.ours, stage, count) }
    .needing(threads > 1 ? .secondProcessor : .none, count: isHeld ? 200 : 20_000)
  }
}

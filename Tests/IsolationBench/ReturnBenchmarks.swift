// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a return probe costs with activations out of our pool, beside one with objects out of the free list
/// that counts who looks at a node.
///
/// Both sides read the clock at the beginning and at the end, and count the difference. Ours finds out,
/// besides, what is attached, and can be removed meanwhile. A figure is the time from the beginning to
/// the end over the scopes that all threads made together.
enum ReturnBenchmarks {
  static let all: [Benchmark] = [
    row("probe:latency-list", threads: 1, budget: 1.1),
    row("probe:latency-list-2x", threads: 2, budget: 0.5),
  ]

  private static func row(_ name: String, threads: Int, budget: Double) -> Benchmark {
    Benchmark(
      name, budget: budget,
      against: "a return probe on a list with counts, \(threads) "
        + (threads == 1 ? "thread" : "threads"),
      { stage, count in onList(crowd(threads, stage, count)) }
    ) { stage, count in ours(crowd(threads, stage, count)) }
    .needing(threads > 1 ? .secondProcessor : .none, count: 20_000)
  }

  private static func crowd(_ threads: Int, _ stage: borrowing Stage, _ count: Int) -> PoolCrowd {
    PoolCrowd(
      threads: threads, capacity: 10, cycles: 0, count: count,
      processors: PoolCrowd.allowed + [stage.secondProcessor].compactMap(\.self))
  }

  private static func onList(_ crowd: PoolCrowd) -> Double {
    let pool = unsafe peer_pool_make(peer_pool_list, 10, Int32(crowd.threads))
    defer { unsafe peer_pool_free(pool) }
    return unsafe crowd.run(
      peer_crowd(
        UnsafeMutableRawPointer(pool), { context, _ in unsafe context },
        { state, thread, count, cycles in
          unsafe peer_pool_scopes(OpaquePointer(state!), thread, count, cycles)
        }, { _ in }))
  }

  private static func ours(_ crowd: PoolCrowd) -> Double {
    unsafe crowd.run(
      peer_crowd(
        nil, { _, _ in nil },
        { _, _, count, _ in
          ReturnBenchmarks.scopes(count)
          return count
        }, { _ in }))
  }

  private static let point: ProbePoint<(UInt64, Int)> = {
    guard let registry = try? ProbeRegistry(capacity: 4) else {
      return .init("none", "key", "length")
    }
    let point = ProbePoint<(UInt64, Int)>("bench.returned", "key", "length", in: registry)
    _ = try? registry.attach(.latency, to: "bench.returned")
    return point
  }()

  @inline(never)
  private static func scopes(_ count: UInt64) {
    let point = Self.point
    for turn in 0..<count { point.measure(turn, 1) { peer_turn(turn) } }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What it costs to find the region of an address without the lock, beside the same under it.
enum RegionBenchmarks {
  static let all: [Benchmark] = [
    Benchmark(
      "region:speculative", budget: 1, against: "the same under the lock",
      { stage, count in stage.time(count) { RegionCrowd.lookUp(count, .locked) } }
    ) { stage, count in stage.time(count) { RegionCrowd.lookUp(count, .speculative) } },
    row("region:written", budget: 1, threads: 1),
    // The design's line: five times as fast.
    row("region:2x", budget: 0.2, threads: 2),
    // The rate of one thread, with another beside it: nine tenths of what it has alone.
    Benchmark(
      "region:flat", budget: 1 / 0.9, against: "one thread",
      { stage, count in crowd(1, stage).run(.speculative, count) }
    ) { stage, count in 2 * crowd(2, stage).run(.speculative, count) }
    .needing(.secondProcessor, count: 20_000),
  ]

  /// Ten thousand changes a second.
  private static func crowd(_ threads: Int, _ stage: borrowing Stage) -> RegionCrowd {
    RegionCrowd(
      threads: threads, changes: 10_000,
      processors: PoolCrowd.allowed + [stage.secondProcessor].compactMap(\.self))
  }

  private static func row(_ name: String, budget: Double, threads: Int) -> Benchmark {
    Benchmark(
      name, budget: budget, against: "the same under the lock",
      { stage, count in crowd(threads, stage).run(.locked, count) }
    ) { stage, count in crowd(threads, stage).run(.speculative, count) }
    .needing(threads > 1 ? .secondProcessor : .none, count: 20_000)
  }
}

/// Threads that look regions up, and of which the first changes one so many times a second.
///
/// A thread of its own for the changes would take a processor from the readers where there are two.
struct RegionCrowd {
  enum Way: Int32 {
    case speculative, locked
  }

  let threads: Int
  /// Changes in a second; 0 makes none.
  let changes: UInt64
  let processors: [Int32]

  private static let regions: UInt64 = 4096
  private static let map: RegionMap<UInt64>? = {
    guard let map = try? RegionMap<UInt64>(capacity: Int(regions)) else { return nil }
    for index in 0..<regions {
      _ = map.insert(index, over: index * 4096..<index * 4096 + 3000)
    }
    return map
  }()

  /// The nanoseconds from the beginning to the end, over the lookups of all threads together.
  func run(_ way: Way, _ count: Int) -> Double {
    guard Self.map != nil else { return .nan }
    let interval = changes == 0 ? 0 : CycleClock.frequency / changes
    // The number of the way goes where the crowd has the cycles that an object is held.
    var crowd = unsafe peer_crowd(
      context: nil,
      begin: { _, thread in
        let reader = UnsafeMutablePointer<RegionReader>.allocate(capacity: 1)
        unsafe reader.initialize(to: RegionReader(isWriter: thread == 0))
        return UnsafeMutableRawPointer(reader)
      },
      pairs: { state, _, count, packed in
        let reader = unsafe state!.assumingMemoryBound(to: RegionReader.self)
        let way: Way = packed & 1 == 0 ? .speculative : .locked
        unsafe reader.pointee.change(every: packed >> 1)
        RegionCrowd.lookUp(Int(count), way)
        return count
      },
      end: { state in unsafe state!.assumingMemoryBound(to: RegionReader.self).deallocate() },
      count: UInt64(count), cycles: interval << 1 | UInt64(way.rawValue))
    return unsafe peer_crowd_run(&crowd, Int32(threads), processors, Int32(processors.count))
  }

  @inline(never)
  static func lookUp(_ count: Int, _ way: Way) {
    guard let map else { return }
    for turn in 0..<count {
      let address = UInt64(truncatingIfNeeded: turn &* 7919 & 4095) &* 4096 &+ 8
      let region = way == .locked ? map.lookUpLocked(address) : map.lookUp(address)
      peer_turn(region?.value ?? 0)
    }
  }

  /// One thread of the crowd.
  private struct RegionReader {
    let isWriter: Bool
    private var next: UInt64 = 0
    private var index: UInt64 = 0

    init(isWriter: Bool) { self.isWriter = isWriter }

    /// Takes a region out and puts it in again, if it is time.
    mutating func change(every interval: UInt64) {
      guard isWriter, interval > 0, let map = RegionCrowd.map else { return }
      let now = peer_ordered_cycles()
      if now < next { return }
      next = now + interval
      index = (index + 61) % RegionCrowd.regions
      _ = map.update(at: index * 4096, to: index)
    }
  }
}

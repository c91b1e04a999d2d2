// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a probe costs where nothing is attached and where something is, what finding one costs, and
/// what the kernel takes for the same.
///
/// Where a budget is a time, the peer is that time. The kernel's rows are there where tracefs can be
/// written: `uprobe_events`, a probe at the entry of a function whose body is a nop of five bytes, and
/// one at its return.
enum ProbeBenchmarks {
  static let all: [Benchmark] =
    [
      Benchmark(
        "probe:unattached", budget: 1, against: "0.3 ns over the bare loop", { _, _ in 0.3 }
      ) { stage, count in
        let bare = stage.time(count) { turns(count) }
        return stage.time(count) { hits(unattached, count) } - bare
      },
      Benchmark("probe:count", budget: 1, against: "8 ns over the bare loop", { _, _ in 8 }) {
        stage, count in
        let bare = stage.time(count) { turns(count) }
        return stage.time(count) { hits(counted, count) } - bare
      },
      Benchmark("probe:latency", budget: 1, against: "30 ns over the bare loop", { _, _ in 30 }) {
        stage, count in
        let bare = stage.time(count) { turns(count) }
        return stage.time(count) { scopes(measured, count) } - bare
      },
      Benchmark(
        "lookup:cached", budget: 1, against: "2.5 ns over the bare loop", { _, _ in 2.5 }
      ) { stage, count in
        let bare = stage.time(count) { turns(count) }
        return cachedLookups(stage, count, keys: few, mask: 15) - bare
      },
      Benchmark(
        "lookup:skewed", budget: 1.0 / 3, against: "512 chains of 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_chained(chains!, skewed, UInt64(sampleMask), UInt64(count))
          }
        }
      ) { stage, count in cachedLookups(stage, count, keys: skewed, mask: sampleMask) },
      Benchmark(
        "lookup:skewed, best table", budget: 3, against: "open addressing, 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_open(open!, skewed, UInt64(sampleMask), UInt64(count))
          }
        }
      ) { stage, count in cachedLookups(stage, count, keys: skewed, mask: sampleMask) },
      Benchmark(
        "lookup:uniform", budget: 1, against: "512 chains of 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_chained(chains!, uniform, UInt64(sampleMask), UInt64(count))
          }
        }
      ) { stage, count in cachedLookups(stage, count, keys: uniform, mask: sampleMask) },
      Benchmark(
        "region:speculative", budget: 1, against: "the same under the lock",
        { stage, count in stage.time(count) { regions(count, isLocked: true) } }
      ) { stage, count in stage.time(count) { regions(count, isLocked: false) } },
    ] + kernel

  /// 80 and 50 times cheaper, both beside the kernel's in the same run.
  private static let kernel: [Benchmark] =
    [
      kernelRow("probe:count, uprobe", times: 80, isReturn: false) { stage, count in
        stage.time(count) { hits(counted, count) }
      },
      kernelRow("probe:latency, uretprobe", times: 50, isReturn: true) { stage, count in
        stage.time(count) { scopes(measured, count) }
      },
    ].compactMap(\.self)

  private static func kernelRow(
    _ name: String, times: Double, isReturn: Bool, _ ours: @escaping Benchmark.Sample
  ) -> Benchmark? {
    // Whether the system lets us; the place is given back at once.
    guard peer_begin_kernel_probe(isReturn) else { return nil }
    peer_end_kernel_probe()
    return Benchmark(
      name, budget: 1 / times,
      against: isReturn ? "a uretprobe of the kernel" : "a uprobe of the kernel",
      { stage, count in
        guard peer_begin_kernel_probe(isReturn) else { return .nan }
        defer { peer_end_kernel_probe() }
        return stage.time(count) { peer_call_probed(UInt64(count)) }
      }, ours: ours
    ).needing(.none, count: 2000)
  }

  // MARK: What is hit

  private static let registry: ProbeRegistry? = try? ProbeRegistry(capacity: 64)
  private static let unattached = ProbePoint<UInt64, Int>(
    "bench.unattached", "key", "length", in: registry ?? .shared)
  private static let counted: ProbePoint<UInt64, Int> = {
    let point = ProbePoint<UInt64, Int>(
      "bench.counted", "key", "length", in: registry ?? .shared)
    _ = try? (registry ?? .shared).attach(.count, to: "bench.counted")
    return point
  }()
  private static let measured: ProbePoint<UInt64, Int> = {
    let point = ProbePoint<UInt64, Int>(
      "bench.measured", "key", "length", in: registry ?? .shared)
    _ = try? (registry ?? .shared).attach(.latency, to: "bench.measured")
    return point
  }()

  @inline(never)
  private static func turns(_ count: Int) {
    for turn in 0..<count { peer_turn(UInt64(truncatingIfNeeded: turn)) }
  }

  @inline(never)
  private static func hits(_ point: ProbePoint<UInt64, Int>, _ count: Int) {
    for turn in 0..<count {
      peer_turn(UInt64(truncatingIfNeeded: turn))
      point.hit(UInt64(truncatingIfNeeded: turn), turn)
    }
  }

  @inline(never)
  private static func scopes(_ point: ProbePoint<UInt64, Int>, _ count: Int) {
    for turn in 0..<count {
      point.measure(UInt64(truncatingIfNeeded: turn), turn) {
        peer_turn(UInt64(truncatingIfNeeded: turn))
      }
    }
  }

  // MARK: What is looked up

  private static let probes = 40_000
  private static let sampleMask = (1 << 16) - 1
  /// Addresses as code has them.
  private static let addresses: [UInt64] = {
    var addresses = (0..<UInt64(probes)).map { 0x40_0000 + $0 * 48 + $0 % 3 * 4 }
    var random = Mix(state: 1)
    addresses.shuffle(using: &random)
    return addresses
  }()
  private static let few = Array(addresses.prefix(16))
  private static let uniform: [UInt64] = {
    var random = Mix(state: 2)
    return (0...sampleMask).map { _ in addresses[Int(random.next() >> 33) % probes] }
  }()
  /// Zipf's distribution with the exponent 0.99.
  private static let skewed: [UInt64] = {
    var sums: [Double] = []
    var sum = 0.0
    for rank in 1...probes {
      sum += 1 / power(Double(rank), 0.99)
      sums.append(sum)
    }
    var random = Mix(state: 3)
    return (0...sampleMask).map { _ in
      let wanted = Double(random.next() >> 11) / Double(1 << 53) * sum
      var (low, high) = (0, probes - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] < wanted { low = middle + 1 } else { high = middle }
      }
      return addresses[low]
    }
  }()

  /// A number to a power, by a few steps of squaring and of taking roots.
  private static func power(_ base: Double, _ exponent: Double) -> Double {
    var (result, root, rest) = (1.0, base, exponent)
    for _ in 0..<50 {
      root = root.squareRoot()
      rest *= 2
      if rest >= 1 {
        result *= root
        rest -= 1
      }
    }
    return result
  }

  nonisolated(unsafe) private static let chains = unsafe peer_make_chains(
    addresses, UInt64(probes))  // never written again
  nonisolated(unsafe) private static let open = unsafe peer_make_open(
    addresses, UInt64(probes))  // never written again

  private static let cache: LookupCache<UInt64, UInt64>? = {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    guard let coordinator = try? Coordinator(configuration) else { return nil }
    return try? LookupCache(coordinator, "bench_cache")
  }()

  /// Lookups of a CPU in kernel; what its cache has not, the best table has.
  private static func cachedLookups(
    _ stage: borrowing Stage, _ count: Int, keys: [UInt64], mask: Int
  ) -> Double {
    guard let cache else { return .nan }
    let clock = stage.clock
    return OtherThread.run {
      guard let cpu = try? cache.coordinator.attach(to: 1) else { return .nan }
      let local = cache.open(on: cpu)
      // Until it has what fits into it.
      lookUp(local, cpu, min(count, 1 << 16), keys, mask)
      return clock.time(count) { lookUp(local, cpu, count, keys, mask) }
    }
  }

  @inline(never)
  private static func lookUp(
    _ local: borrowing LookupCache<UInt64, UInt64>.Local, _ cpu: borrowing LocalCPU, _ count: Int,
    _ keys: [UInt64], _ mask: Int
  ) {
    unsafe keys.withUnsafeBufferPointer { keys in
      let table = unsafe open!
      for turn in 0..<count {
        let key = unsafe keys[turn & mask]
        peer_turn(local.lookUp(key, on: cpu) { unsafe peer_find_open(table, $0) } ?? 0)
      }
    }
  }

  private static let map: RegionMap<UInt64>? = {
    guard let map = try? RegionMap<UInt64>(capacity: 4096) else { return nil }
    for index in 0..<4096 as Range<UInt64> {
      _ = map.insert(index, over: index * 4096..<index * 4096 + 3000)
    }
    return map
  }()

  @inline(never)
  private static func regions(_ count: Int, isLocked: Bool) {
    guard let map else { return }
    for turn in 0..<count {
      let address = UInt64(truncatingIfNeeded: turn &* 7919 & 4095) &* 4096 &+ 8
      let region = isLocked ? map.lookUpLocked(address) : map.lookUpSpeculatively(address)
      peer_turn(region?.value ?? 0)
    }
  }

  private struct Mix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      return mixed ^ mixed >> 31
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a probe costs where nothing is attached and where something is, what finding one costs, and
/// what the kernel takes for the same.
///
/// Where a budget is a time, the peer is that time. The kernel's rows need a tracefs that can be
/// written: `uprobe_events`, a probe at the entry of a function whose body is a nop of five bytes, and
/// one at its return. Regions are in `RegionBenchmarks`.
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
      // What no measurement can be below: the clock is read twice, and the difference is counted.
      Benchmark(
        "probe:latency-clocks", budget: 1.2, against: "two clocks and a bucket in C",
        { stage, count in
          stage.time(count) { peer_measure_turns(UInt64(count)) }
        }
      ) { stage, count in stage.time(count) { scopes(measured, count) } },
      Benchmark(
        "lookup:cached", budget: 1, against: "2.5 ns over the bare loop", { _, _ in 2.5 }
      ) { stage, count in
        // The loop that fetches the same keys.
        let bare = stage.time(count) { turns(count, ProbeKeys.few, 15) }
        return cachedLookups(stage, count, keys: ProbeKeys.few, mask: 15) - bare
      },
      Benchmark(
        "lookup:skewed", budget: 1.0 / 3, against: "512 chains of 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_chained(
              ProbeKeys.chains!, ProbeKeys.skewed, UInt64(ProbeKeys.sampleMask), UInt64(count))
          }
        }
      ) { stage, count in
        cachedLookups(stage, count, keys: ProbeKeys.skewed, mask: ProbeKeys.sampleMask)
      },
      // The budget of the cached lookup, without a cache.
      Benchmark(
        "lookup:table", budget: 1.0 / 3, against: "512 chains of 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_chained(
              ProbeKeys.chains!, ProbeKeys.skewed, UInt64(ProbeKeys.sampleMask), UInt64(count))
          }
        }
      ) { stage, count in stage.time(count) { tableLookups(count) } },
      Benchmark(
        "lookup:table-best", budget: 3, against: "open addressing, 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_open(
              ProbeKeys.open!, ProbeKeys.skewed, UInt64(ProbeKeys.sampleMask), UInt64(count))
          }
        }
      ) { stage, count in stage.time(count) { tableLookups(count) } },
      // What says whether a cache pays before the table: below 1 it does.
      Benchmark(
        "lookup:cache-before-table", budget: 3, against: "the table alone",
        { stage, count in stage.time(count) { tableLookups(count) } }
      ) { stage, count in
        cachedLookups(
          stage, count, keys: ProbeKeys.skewed, mask: ProbeKeys.sampleMask, isOurTable: true)
      },
      Benchmark(
        "lookup:skewed-best", budget: 3, against: "open addressing, 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_open(
              ProbeKeys.open!, ProbeKeys.skewed, UInt64(ProbeKeys.sampleMask), UInt64(count))
          }
        }
      ) { stage, count in
        cachedLookups(stage, count, keys: ProbeKeys.skewed, mask: ProbeKeys.sampleMask)
      },
      Benchmark(
        "lookup:uniform", budget: 1, against: "512 chains of 40000 probes",
        { stage, count in
          stage.time(count) {
            unsafe peer_find_all_chained(
              ProbeKeys.chains!, ProbeKeys.uniform, UInt64(ProbeKeys.sampleMask), UInt64(count))
          }
        }
      ) { stage, count in
        cachedLookups(stage, count, keys: ProbeKeys.uniform, mask: ProbeKeys.sampleMask)
      },
    ] + kernel

  /// 80 and 50 times cheaper, both beside the kernel's in the same run.
  private static let kernel: [Benchmark] =
    [
      kernelRow("probe:count-uprobe", times: 80, isReturn: false) { stage, count in
        stage.time(count) { hits(counted, count) }
      },
      kernelRow("probe:latency-uretprobe", times: 50, isReturn: true) { stage, count in
        stage.time(count) { scopes(measured, count) }
      },
    ]

  private static func kernelRow(
    _ name: String, times: Double, isReturn: Bool, _ ours: @escaping Benchmark.Sample
  ) -> Benchmark {
    Benchmark(
      name, budget: 1 / times,
      against: isReturn ? "a uretprobe of the kernel" : "a uprobe of the kernel",
      { stage, count in
        guard peer_begin_kernel_probe(isReturn) else { return .nan }
        defer { peer_end_kernel_probe() }
        return stage.time(count) { peer_call_probed(UInt64(count)) }
      }, ours: ours
    ).needing(.kernelProbes, count: 10_000)
  }

  // MARK: What is hit

  private static let registry: ProbeRegistry? = try? ProbeRegistry(capacity: 64)
  private static let unattached = ProbePoint<(UInt64, Int)>(
    "bench.unattached", "key", "length", in: registry ?? .shared)
  private static let counted: ProbePoint<(UInt64, Int)> = {
    let point = ProbePoint<(UInt64, Int)>(
      "bench.counted", "key", "length", in: registry ?? .shared)
    _ = try? (registry ?? .shared).attach(.count, to: "bench.counted")
    return point
  }()
  private static let measured: ProbePoint<(UInt64, Int)> = {
    let point = ProbePoint<(UInt64, Int)>(
      "bench.measured", "key", "length", in: registry ?? .shared)
    _ = try? (registry ?? .shared).attach(.latency, to: "bench.measured")
    return point
  }()

  @inline(never)
  private static func turns(_ count: Int) {
    for turn in 0..<count { peer_turn(UInt64(truncatingIfNeeded: turn)) }
  }

  @inline(never)
  private static func turns(_ count: Int, _ keys: [UInt64], _ mask: Int) {
    unsafe keys.withUnsafeBufferPointer { keys in
      for turn in 0..<count { unsafe peer_turn(keys[turn & mask]) }
    }
  }

  @inline(never)
  private static func hits(_ point: ProbePoint<(UInt64, Int)>, _ count: Int) {
    for turn in 0..<count {
      peer_turn(UInt64(truncatingIfNeeded: turn))
      point.hit(UInt64(truncatingIfNeeded: turn), turn)
    }
  }

  @inline(never)
  private static func scopes(_ point: ProbePoint<(UInt64, Int)>, _ count: Int) {
    for turn in 0..<count {
      point.measure(UInt64(truncatingIfNeeded: turn), turn) {
        peer_turn(UInt64(truncatingIfNeeded: turn))
      }
    }
  }

  // MARK: What is looked up

  private static let cache: LookupCache<UInt64, UInt64>? = {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    guard let coordinator = try? Coordinator(configuration) else { return nil }
    return try? LookupCache(coordinator, "bench_cache")
  }()

  /// Lookups of a CPU in kernel; what its cache has not, the best table has.
  private static func cachedLookups(
    _ stage: borrowing Stage, _ count: Int, keys: [UInt64], mask: Int, isOurTable: Bool = false
  ) -> Double {
    guard let cache else { return .nan }
    let clock = stage.clock
    return OtherThread.run {
      guard let cpu = try? cache.coordinator.attach(to: 1) else { return .nan }
      let local = cache.open(on: cpu)
      func run(_ count: Int) {
        if isOurTable {
          lookUpInOurs(local, cpu, count, keys, mask)
        } else {
          lookUp(local, cpu, count, keys, mask)
        }
      }
      // Until it has what fits into it.
      run(min(count, 1 << 16))
      return clock.time(count) { run(count) }
    }
  }

  @inline(never)
  private static func lookUp(
    _ local: borrowing LookupCache<UInt64, UInt64>.Local, _ cpu: borrowing LocalCPU, _ count: Int,
    _ keys: [UInt64], _ mask: Int
  ) {
    unsafe keys.withUnsafeBufferPointer { keys in
      let table = unsafe ProbeKeys.open!
      for turn in 0..<count {
        let key = unsafe keys[turn & mask]
        peer_turn(local.lookUp(key, on: cpu) { unsafe peer_find_open(table, $0) } ?? 0)
      }
    }
  }

  @inline(never)
  private static func lookUpInOurs(
    _ local: borrowing LookupCache<UInt64, UInt64>.Local, _ cpu: borrowing LocalCPU, _ count: Int,
    _ keys: [UInt64], _ mask: Int
  ) {
    guard let table else { return }
    unsafe keys.withUnsafeBufferPointer { keys in
      for turn in 0..<count {
        let key = unsafe keys[turn & mask]
        peer_turn(local.lookUp(key, on: cpu) { table.find(0, $0) } ?? 0)
      }
    }
  }

  /// Our table of the same places, which all lead to one point: what is measured is the search.
  private static let table: ProbeRegistry.AddressTable? = {
    guard let registry,
      let table = try? ProbeRegistry.AddressTable(
        of: registry, capacity: ProbeKeys.probes, regions: 1)
    else { return nil }
    for address in ProbeKeys.addresses {
      if table.insert(unattached, at: address, of: 0) != .inserted { return nil }
    }
    return table
  }()

  @inline(never)
  private static func tableLookups(_ count: Int) {
    guard let table else { return }
    let keys = ProbeKeys.skewed
    var sum: UInt64 = 0
    for turn in 0..<count { sum &+= table.find(0, keys[turn & ProbeKeys.sampleMask]) ?? 0 }
    peer_turn(sum)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a translation costs: found in the CPU's cache, found in the table, and dropped.
///
/// The budget of a hit is a time, so the peer is that time over a loop that does nothing else. The
/// rows `translation:drop N` hold dropping N pages one by one against dropping everything and
/// filling 64 pages again, which is what a full flush costs a CPU that goes on with its work: where
/// the ratio passes one, the ceiling should stand.
enum TranslationBenchmarks {
  static let all: [Benchmark] =
    [
      Benchmark(
        "translation:hit", budget: 1, against: "3 ns over the bare loop", { _, _ in 3 }
      ) { stage, count in
        let clock = stage.clock
        return onOwnCPU { cpu, translations in
          let bare = clock.time(count) { turns(count) }
          return clock.time(count) { hits(translations, cpu, count) } - bare
        }
      },
      Benchmark(
        "translation:miss", budget: 1, against: "40 ns over the bare loop", { _, _ in 40 }
      ) { stage, count in
        let clock = stage.clock
        return onOwnCPU { cpu, translations in
          let bare = clock.time(count) { turns(count) }
          return clock.time(count) { misses(translations, cpu, count) } - bare
        }
      },
    ] + [1, 8, FlushLog.standardCeiling].map(drop)

  /// Dropping so many pages, held against dropping everything.
  private static func drop(_ pages: Int) -> Benchmark {
    Benchmark(
      "translation:drop \(pages)", budget: 1.5, against: "everything, and 64 fills",
      { stage, count in drops(stage, count, pages: pages, ceiling: 0) }
    ) { stage, count in drops(stage, count, pages: pages, ceiling: pages) }
  }

  static let cached = 64

  /// An address space with a coordinator of its own, whose first pages are mapped.
  private static let space: AddressSpace? = {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none  // the thread has its processor already
    guard let coordinator = try? Coordinator(configuration),
      let space = try? AddressSpace(coordinator, AddressSpace.Options(pages: 1 << 20))
    else { return nil }
    for page in 0..<UInt64(cached) { _ = try? space.map(page, to: page + 1) }
    return space
  }()

  /// Runs `body` on a CPU whose cache holds those pages.
  private static func onOwnCPU(
    _ body:
      @escaping @Sendable (borrowing LocalCPU, borrowing AddressSpace.LocalTranslations) -> Double
  ) -> Double {
    guard let space else { return .nan }
    return OtherThread.run {
      guard let cpu = try? space.coordinator.attach(to: 1) else { return .nan }
      let translations = space.open(on: cpu)
      for page in 0..<UInt64(cached) { peer_turn(translations.lookUp(page, on: cpu) ?? 0) }
      return body(cpu, translations)
    }
  }

  /// Nanoseconds to catch up with a flush of so many pages, and to have 64 pages in the cache
  /// again.
  private static func drops(
    _ stage: borrowing Stage, _ count: Int, pages: Int, ceiling: Int
  ) -> Double {
    guard let log = try? FlushLog(),
      let cache = try? TranslationCache<UInt64, UInt64>(entries: 1024, of: log)
    else { return .nan }
    return stage.time(count) {
      for _ in 0..<count {
        log.append(0..<UInt64(pages))
        cache.catchUp(with: log, ceiling: ceiling)
        for page in 0..<UInt64(cached) where cache.lookUp(page) == nil {
          cache.insert(page, for: page)
        }
      }
    }
  }

  @inline(never)
  private static func turns(_ count: Int) {
    for turn in 0..<count { peer_turn(UInt64(truncatingIfNeeded: turn)) }
  }

  @inline(never)
  private static func hits(
    _ translations: borrowing AddressSpace.LocalTranslations, _ cpu: borrowing LocalCPU,
    _ count: Int
  ) {
    for turn in 0..<count {
      peer_turn(translations.lookUp(UInt64(truncatingIfNeeded: turn & (cached - 1)), on: cpu) ?? 0)
    }
  }

  @inline(never)
  private static func misses(
    _ translations: borrowing AddressSpace.LocalTranslations, _ cpu: borrowing LocalCPU,
    _ count: Int
  ) {
    for turn in 0..<count {
      // Not mapped, and so never cached.
      peer_turn(
        translations.lookUp(1000 + UInt64(truncatingIfNeeded: turn & 255), on: cpu) ?? 0)
    }
  }
}

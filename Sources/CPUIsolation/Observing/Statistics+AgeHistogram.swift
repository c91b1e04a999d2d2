// SPDX-License-Identifier: Apache-2.0

extension Coordinator.Statistics {
  /// How often something was how old: eight buckets, a decade each.
  ///
  ///     statistics[flush].ages.counts  // [9120, 3, 0, 0, 0, 0, 0, 0]
  ///
  /// The first bucket holds what ran before the watchdog saw it pending; the others what was seen
  /// pending for up to 10 ms, 100 ms, 1 s, 10 s, 100 s, 1000 s, and longer.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct AgeHistogram: Hashable, Sendable {
    /// The counts, youngest first.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: an array
    public var counts: [UInt64] { buckets.indices.map { buckets[$0] } }

    /// The counts, in the histogram itself: a snapshot has one for each type and CPU.
    var buckets = SIMD8<UInt64>()

    static func += (sum: inout AgeHistogram, other: AgeHistogram) { sum.buckets &+= other.buckets }
  }
}

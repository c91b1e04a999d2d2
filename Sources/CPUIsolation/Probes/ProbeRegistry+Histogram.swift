// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeRegistry {
  /// How values are distributed: buckets whose width grows with the value, sixteen for each doubling, so
  /// that a value is known to 6 %.
  ///
  ///     let latency = probe.histogram!
  ///     latency.percentile(99)  // 99 of 100 were not above this
  ///
  /// Those of several probes or servers add up: `latency += other`.
  ///
  /// - Source: G. Tene's HdrHistogram, with powers of two for the groups of buckets.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list of buckets
  public struct Histogram: Hashable, Sendable {
    /// How many values there are in each bucket; the last ones that are empty are left out.
    public private(set) var buckets: [UInt64]

    /// An empty one.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init() { buckets = [] }

    init(_ buckets: [UInt64]) {
      self.buckets = buckets
      while self.buckets.last == 0 { self.buckets.removeLast() }
    }

    /// How many values there are.
    public var count: UInt64 { buckets.reduce(0, &+) }

    /// Adds a value.
    ///
    /// - Parameter value: any value.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: where the value is the largest so far
    public mutating func add(_ value: UInt64) { add(value, times: 1) }

    mutating func add(_ value: UInt64, times count: UInt64) {
      let bucket = Self.bucket(of: value)
      while buckets.count <= bucket { buckets.append(0) }
      buckets[bucket] &+= count
    }

    /// Adds what another one holds.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: where the other one holds larger values
    public static func += (left: inout ProbeRegistry.Histogram, right: ProbeRegistry.Histogram) {
      while left.buckets.count < right.buckets.count { left.buckets.append(0) }
      for (bucket, count) in right.buckets.enumerated() { left.buckets[bucket] &+= count }
    }

    /// The least value that so many of a hundred values do not exceed, as the upper end of its bucket; 0
    /// where there is none.
    ///
    /// - Parameter percent: from 0, which is the smallest value, to 100, the largest.
    /// - Returns: the largest value of that bucket, or 0.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public func percentile(_ percent: Double) -> UInt64 {
      let total = count
      if total == 0 { return 0 }
      let wanted = max(1, UInt64((min(max(percent, 0), 100) / 100 * Double(total)).rounded(.up)))
      var seen: UInt64 = 0
      for (bucket, count) in buckets.enumerated() {
        seen &+= count
        if seen >= wanted { return Self.values(of: bucket).upperBound }
      }
      return Self.values(of: buckets.count - 1).upperBound
    }

    /// The bucket that a value falls into.
    ///
    /// - Parameter value: any value.
    /// - Returns: the index of the bucket.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public static func bucket(of value: UInt64) -> Int {
      if value < 16 { return Int(truncatingIfNeeded: value) }
      let shift = 59 &- value.leadingZeroBitCount
      return (shift &+ 1) &* 16 &+ Int(truncatingIfNeeded: value &>> UInt64(shift)) & 15
    }

    /// The values of a bucket.
    ///
    /// - Parameter bucket: its index.
    /// - Returns: the least and the largest value of the bucket.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public static func values(of bucket: Int) -> ClosedRange<UInt64> {
      if bucket < 16 { return UInt64(bucket)...UInt64(bucket) }
      let shift = UInt64(bucket / 16 - 1)
      let first = (16 + UInt64(bucket % 16)) << shift
      return first...first + (1 << shift - 1)
    }

    /// How many buckets there can be.
    static var limit: Int { 976 }
  }
}

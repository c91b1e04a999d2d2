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

/// The memory of a histogram that hits add to: buckets by thread, as `ProbeCounts`.
// Sendable: an address of memory in which every word is atomic.
@safe
struct ProbeHistogramMemory: @unchecked Sendable {
  let base: Address

  static var byteCount: Int { ProbeCounts.byteCount(words: ProbeRegistry.Histogram.limit) }

  init(base: Address) { self.base = base }

  private var counts: ProbeCounts {
    ProbeCounts(base: base, words: ProbeRegistry.Histogram.limit)
  }

  @inline(__always)
  func add(_ value: UInt64, thread: Int) {
    counts.add(1, to: ProbeRegistry.Histogram.bucket(of: value), thread: thread)
  }

  var histogram: ProbeRegistry.Histogram {
    ProbeRegistry.Histogram((0..<ProbeRegistry.Histogram.limit).map(counts.sum))
  }
}

/// Counts by the value of an argument.
enum ProbeTally {
  /// A hash table of keys and counts that threads add to without a lock: keys come and stay.
  ///
  ///     offset   0  how many hits found no room
  ///             16  entries: a key, and its count; a key that is not there yet has the count 0
  ///
  /// An entry is claimed by its count, from 0 to `claimed`; the key is written, and then the count
  /// becomes 1. A hit that meets a claimed entry does not wait for it: it goes on, so a key can have
  /// two entries, which a reader adds up.
  // Sendable: an address of memory in which every word is atomic.
  @safe
  struct Memory: @unchecked Sendable {
    let base: Address

    static var entries: Int { 1024 }
    static var byteCount: Int { 16 + entries * 16 }
    private static var claimed: UInt64 { .max }

    init(base: Address) { self.base = base }

    // Safety: the map above says where.
    var overflow: Place<SharedWord> { unsafe Place(base) }

    private func entry(_ index: Int) -> Table<SharedWord> {
      // Safety: as above; the index is below the number of entries.
      unsafe Table(base + (16 &+ index &* 16))
    }

    /// Counts a value. Wait-free: it looks at 64 entries at most.
    func add(_ key: UInt64) {
      var index = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) &>> 54)
      for _ in 0..<64 {
        let entry = entry(index & (Self.entries - 1))
        // Acquire — tally:C. The key of an entry that has a count. Pairs with tally:P.
        let count = entry[1].load(ordering: .acquiring)
        if count == 0 {
          // Relaxed: who claims it writes the key next, and nobody reads it before.
          if entry[1].compareExchange(
            expected: 0, desired: Self.claimed, successOrdering: .relaxed,
            failureOrdering: .relaxed
          ).exchanged {
            entry[0].store(key, ordering: .relaxed)
            // Release — tally:P. The key before the count that shows it. Pairs with tally:C.
            entry[1].store(1, ordering: .releasing)
            return
          }
        } else if count != Self.claimed, entry[0].load(ordering: .relaxed) == key {
          entry[1].wrappingAdd(1, ordering: .relaxed)
          return
        }
        index &+= 1
      }
      overflow.value.wrappingAdd(1, ordering: .relaxed)
    }

    var counts: [UInt64: UInt64] {
      var counts: [UInt64: UInt64] = [:]
      for index in 0..<Self.entries {
        let entry = entry(index)
        // Acquire — tally:C, as above. Pairs with tally:P.
        let count = entry[1].load(ordering: .acquiring)
        if count == 0 || count == Self.claimed { continue }
        counts[entry[0].load(ordering: .relaxed), default: 0] &+= count
      }
      return counts
    }
  }
}

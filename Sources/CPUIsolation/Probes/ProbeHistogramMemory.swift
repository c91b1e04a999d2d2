// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

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

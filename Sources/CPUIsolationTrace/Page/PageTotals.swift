// SPDX-License-Identifier: Apache-2.0

/// How often something took how long.
struct PageTotal {
  var count = 0
  var time: UInt64 = 0
  var longest: UInt64 = 0
  /// When the longest began.
  var longestStart: UInt64 = 0

  mutating func add(_ span: TraceSpan) {
    count += 1
    guard let duration = span.duration else { return }
    time &+= duration
    let most = span.longest ?? duration
    if most > longest || longest == 0 { (longest, longestStart) = (most, span.start) }
  }

  static func += (left: inout PageTotal, right: PageTotal) {
    left.count += right.count
    left.time &+= right.time
    if right.longest > left.longest {
      (left.longest, left.longestStart) = (right.longest, right.longestStart)
    }
  }
}

/// What was deferred, of one work for one CPU.
struct PageWaits {
  private(set) var deferred = 0
  private(set) var merges = 0
  private(set) var drained = 0
  private(set) var longest: UInt64 = 0
  /// One of so many powers of two.
  private var level = 0
  private var sample: [UInt64] = []

  private static let mostSamples = 512

  mutating func add(_ deferral: TraceDeferral) {
    deferred += 1
    merges += deferral.merges
    guard let wait = deferral.wait else { return }
    longest = max(longest, wait)
    if drained & (1 << level - 1) == 0 { sample.append(wait) }
    drained += 1
    if sample.count > Self.mostSamples {
      level += 1
      sample = sample.indices.filter { $0 % 2 == 0 }.map { sample[$0] }
    }
  }

  /// Exact while there are few; of many, that of an even sample.
  var median: UInt64? {
    sample.isEmpty ? nil : sample.sorted()[sample.count / 2]
  }
}

/// Interrupts of one sender with one callback.
struct PageSends {
  struct Key: Hashable {
    var sender: Int32
    var callback: Int32
  }
  var targets: [Int: Int] = [:]
  var callsites: Set<Int32> = []

  var count: Int { targets.values.reduce(0, +) }
}

// SPDX-License-Identifier: Apache-2.0

/// What one CPU had of one activity, as marks on a timeline.
///
/// A page has no room for a million marks. A series that has too many keeps every other one, then
/// every fourth, and so on, and counts all of them in bins.
struct MarkSeries {
  struct Mark {
    var start: UInt64
    /// nil: it is a moment, or has not ended.
    var duration: UInt64?
    /// A number of `PageIdentities`.
    var identity: Int32
    var merges: Int32
  }

  private(set) var marks: [Mark] = []
  /// One of so many powers of two is kept.
  private(set) var level = 0
  private(set) var seen = 0
  /// Empty while every mark is there.
  private(set) var bins: [UInt32] = []

  /// Whether the mark was kept.
  mutating func add(_ mark: Mark, _ scale: BinScale) -> Bool {
    defer { seen += 1 }
    if !bins.isEmpty { bins[scale.bin(of: mark.start)] += 1 }
    guard seen & (1 << level - 1) == 0 else { return false }
    marks.append(mark)
    return true
  }

  /// Keeps every other mark.
  mutating func thin(_ scale: BinScale) {
    if bins.isEmpty {
      bins = Array(repeating: 0, count: scale.count)
      for mark in marks { bins[scale.bin(of: mark.start)] += 1 }
    }
    level += 1
    marks = marks.indices.filter { $0 % 2 == 0 }.map { marks[$0] }
  }

  /// Joins neighbours, so that the bins reach twice as far.
  mutating func widenBins() {
    guard !bins.isEmpty else { return }
    let half = bins.count / 2
    for index in 0..<half { bins[index] = bins[2 * index] + bins[2 * index + 1] }
    for index in half..<bins.count { bins[index] = 0 }
  }

  /// Joins neighbours, so that there are half as many.
  mutating func halveBins() {
    widenBins()
    bins.removeLast(bins.count / 2)
  }

  /// Leaves marks out for good, such as those of the thread that a CPU is for.
  mutating func remove(where isUnwanted: (Mark) -> Bool) { marks.removeAll(where: isUnwanted) }

  /// In the order of their beginnings.
  func sorted() -> [Mark] { marks.sorted { $0.start < $1.start } }
}

/// Where the bins of all series lie: they begin with the recording, whose length is not known
/// before its end.
struct BinScale {
  var origin: UInt64 = 0
  /// The width of a bin is a power of two.
  var shift: UInt64 = 10
  var count = 2048

  /// A clock may go back to before the beginning.
  func bin(of time: UInt64) -> Int {
    min(Int(clamping: (time - min(origin, time)) >> shift), count - 1)
  }

  func reaches(_ time: UInt64) -> Bool {
    time <= origin || (time - origin) >> shift < UInt64(count)
  }
}

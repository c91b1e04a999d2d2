// SPDX-License-Identifier: Apache-2.0

/// The threads that may be disturbed by signals.
enum DisturbedThreads {
  private static let limit = 128
  private static let ids = WordTable(limit)

  static func add(_ id: Int32) {
    for index in 0..<limit where ids.change(index, from: 0, to: UInt64(id)) { return }
  }

  static func remove(_ id: Int32) {
    for index in 0..<limit where ids.change(index, from: UInt64(id), to: 0) { return }
  }

  /// One of them; nil where the place that was drawn is empty.
  static func any(_ random: inout SeededGenerator) -> Int32? {
    let id = ids.load(random.below(limit / 4))
    return id == 0 ? nil : Int32(truncatingIfNeeded: id)
  }
}

// SPDX-License-Identifier: Apache-2.0

/// How often each operation was carried out, by rows that threads count in.
final class OperationCounts: Sendable {
  private static let rows = 64
  private let words = WordTable(rows * Operation.allCases.count)

  func add(_ operation: Operation, row: Int, _ count: UInt64 = 1) {
    words.add(row % Self.rows * Operation.allCases.count + operation.rawValue, count)
  }

  func count(of operation: Operation) -> UInt64 {
    (0..<Self.rows).reduce(0) {
      $0 &+ words.load($1 * Operation.allCases.count + operation.rawValue)
    }
  }

  func count(of group: Operation.Group) -> UInt64 {
    Operation.allCases.filter { $0.group == group }.reduce(0) { $0 &+ count(of: $1) }
  }

  /// The columns of the line of a second.
  var summary: String {
    Operation.Group.allCases.compactMap { group in
      let count = count(of: group)
      return count == 0 ? nil : "\(group.rawValue) \(Self.short(count))"
    }.joined(separator: " ")
  }

  /// Three digits, or so.
  static func short(_ count: UInt64) -> String {
    switch count {
    case ..<10_000: "\(count)"
    case ..<10_000_000: "\(count / 1000)k"
    default: "\(count / 1_000_000)M"
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// The table of `/proc/interrupts`, as it was at one moment.
package struct InterruptCounts: Sendable {
  /// One line: a kind of interrupt, or a device's.
  package struct Row: Sendable {
    /// What stands before the colon: a number for devices, letters for the rest.
    package let label: String
    /// The counts, one for each processor of the table, in their order. A line that counts for the
    /// machine has one.
    package let counts: [UInt64]
    /// What stands after the counts, without blanks around it.
    package let title: String
    /// Whether there is a count for each processor, and not one for the machine.
    package let isPerProcessor: Bool

    package var isDevice: Bool { Int(label) != nil }

    /// The name of the device: the last word, or the whole list of those that share the line.
    package var deviceName: String {
      let words = title.split(separator: " ")
      guard var first = words.indices.last else { return label }
      // Those that share a line are separated by commas.
      while first > 0, words[first - 1].hasSuffix(",") { first -= 1 }
      return words[first...].joined(separator: " ")
    }
  }

  /// The processors that were asked for and have a column, in the order of the columns.
  package let processors: [Int]
  /// The rows, without those of devices that have interrupted none of these processors.
  package let rows: [Row]

  /// Reads the columns of some processors, or of all; nil if the table has none at all, as where a
  /// container hides it. What is not asked for takes no memory: a large machine has a megabyte.
  package init?(_ table: [UInt8], processors wanted: CPUMask? = nil) {
    var lines = table.split(separator: UInt8(ascii: "\n"))[...]
    guard let heading = lines.popFirst() else { return nil }
    let blank = UInt8(ascii: " ")
    let columns = heading.split(separator: blank)
    let all = columns.compactMap { Self.processor($0) }
    guard !all.isEmpty, all.count == columns.count else { return nil }
    let isWanted = all.map { wanted?.contains($0) ?? true }
    processors = zip(all, isWanted).compactMap { $1 ? $0 : nil }
    rows = lines.compactMap { line -> Row? in
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
      let label = Self.text(line[..<colon].drop { $0 == blank })
      var rest = line[(colon + 1)...]
      var counts: [UInt64] = []
      var column = 0
      while column < all.count {
        let number = rest.drop { $0 == blank }
        let word = number.prefix { $0 != blank }
        guard let count = Self.number(word) else { break }
        if isWanted[column] || column == 0 && all.count > 1 && Self.isAlone(number, word) {
          counts.append(count)
        }
        column += 1
        rest = number[word.endIndex...]
      }
      guard column > 0, Int(label) == nil || counts.contains(where: { $0 > 0 }) else { return nil }
      let words = rest.split(separator: blank)
      let title = words.map(Self.text).joined(separator: " ")
      return Row(
        label: label, counts: counts, title: title,
        isPerProcessor: column == all.count && !(title.isEmpty && Int(label) == nil))
    }
  }

  private static func processor(_ word: ArraySlice<UInt8>) -> Int? {
    word.starts(with: "CPU".utf8) ? number(word.dropFirst(3)).flatMap { Int(exactly: $0) } : nil
  }

  /// Whether a count is all that its line has.
  private static func isAlone(_ line: ArraySlice<UInt8>, _ word: ArraySlice<UInt8>) -> Bool {
    line[word.endIndex...].allSatisfy { $0 == UInt8(ascii: " ") }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    if digits.isEmpty { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isOver) = tens.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      if isTooLarge || isOver { return nil }
      value = sum
    }
    return value
  }

  /// The position of a processor's column.
  package func column(of processor: Int) -> Int? { processors.firstIndex(of: processor) }

  /// The row of a kind of interrupt: by its label, as x86 has them, or by its title, since other
  /// architectures number their kinds.
  package func row(_ label: String, titled title: String) -> Row? {
    rows.first { $0.label == label }
      ?? rows.first { !$0.isDevice && $0.title.lowercased() == title.lowercased() }
  }
}

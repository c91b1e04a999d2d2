// SPDX-License-Identifier: Apache-2.0

/// Times and durations as reports print them.
extension [UInt8] {
  /// Nanoseconds as seconds with six digits after the point, rounded, or with nine.
  mutating func appendTime(_ nanoseconds: UInt64, showsNanoseconds: Bool = false) {
    if showsNanoseconds {
      appendDecimal(nanoseconds / 1_000_000_000, width: 5)
      append(UInt8(ascii: "."))
      appendDecimal(nanoseconds % 1_000_000_000, width: 9, filler: UInt8(ascii: "0"))
      return
    }
    let (sum, overflow) = nanoseconds.addingReportingOverflow(500)
    let microseconds = (overflow ? nanoseconds : sum) / 1000
    appendDecimal(microseconds / 1_000_000, width: 5)
    append(UInt8(ascii: "."))
    appendDecimal(microseconds % 1_000_000, width: 6, filler: UInt8(ascii: "0"))
  }

  /// The column that says how long a function took, with a mark for those that took long.
  mutating func appendDuration(_ nanoseconds: UInt64) {
    let marks: [(limit: UInt64, mark: StaticString)] = [
      (1_000_000_000, "$ "), (1_000_000, "# "), (100_000, "! "), (10_000, "+ "),
    ]
    append(marks.first { nanoseconds > $0.limit }?.mark ?? "  ")
    let start = count
    appendDecimal(nanoseconds / 1000)
    if count - start < 7 {
      append(UInt8(ascii: "."))
      appendDecimal(nanoseconds % 1000, width: 3, filler: UInt8(ascii: "0"))
    }
    let length = count - start
    append(" us ")
    appendBlanks(7 - length)
    append("|  ")
  }
}

// SPDX-License-Identifier: Apache-2.0

/// Rows for people: columns as wide as what is in them.
struct BenchmarkTable {
  private var lines: [[String]] = [
    [
      "row", "ours ns", "(min–max)", "cycles", "peer ns", "(min–max)", "ratio", "budget", "",
      "peer",
    ]
  ]

  /// The cycles are those of the cycle counter.
  init(_ rows: [BenchmarkRow], nanosecondsPerCycle: Double) {
    for row in rows {
      lines.append([
        row.name,
        Self.number(row.ours.median), Self.range(row.ours),
        Self.number(row.ours.median / nanosecondsPerCycle),
        Self.number(row.theirs.median), Self.range(row.theirs),
        Self.ratio(row.ratio), Self.ratio(row.budget), row.isOK ? "ok" : "OVER", row.peer,
      ])
    }
  }

  var text: String {
    let columns = lines[0].indices
    let widths = columns.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      var text = ""
      for column in columns {
        let padding = String(repeating: " ", count: widths[column] - line[column].count)
        // Numbers to the right, words to the left.
        text += (1...7).contains(column) ? padding + line[column] : line[column] + padding
        text += "  "
      }
      while text.last == " " { text.removeLast() }
      return text + "\n"
    }.joined()
  }

  /// A number with two decimals.
  static func number(_ value: Double) -> String { decimal(value, places: 2) }

  /// A ratio: two decimals where they say something, else one over it.
  static func ratio(_ value: Double) -> String {
    value > 0 && value < 0.1 ? "1/\(Int((1 / value).rounded()))" : number(value)
  }

  private static func range(_ spread: Spread) -> String {
    "(\(number(spread.least))–\(number(spread.most)))"
  }

  private static func decimal(_ value: Double, places: Int) -> String {
    let scale = (0..<places).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = (abs(value) * scale).rounded()
    guard scaled < 1e18 else { return "\(value)" }
    let digits = String(Int(scaled))
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return sign + padded.dropLast(places) + "." + padded.suffix(places)
  }
}

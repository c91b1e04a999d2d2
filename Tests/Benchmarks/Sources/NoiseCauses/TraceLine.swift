// SPDX-License-Identifier: Apache-2.0

/// A line of a trace, as `name-12 [001] d..1. 4711: event: fields`.
struct TraceLine {
  var cycle: UInt64
  /// The thread that ran.
  var thread: Int32
  var event: Substring
  var fields: Substring

  init?(_ line: Substring) {
    guard let bracket = line.firstRange(of: " ["),
      let dash = line[..<bracket.lowerBound].lastIndex(of: "-"),
      let thread = Int32(line[line.index(after: dash)..<bracket.lowerBound].filter { $0 != " " })
    else { return nil }
    let words = line[bracket.upperBound...].split(
      separator: " ", maxSplits: 4, omittingEmptySubsequences: true)
    guard words.count >= 4, words[2].hasSuffix(":"), words[3].hasSuffix(":"),
      let cycle = UInt64(words[2].dropLast())
    else { return nil }
    self.cycle = cycle
    self.thread = thread
    event = words[3].dropLast()
    fields = words.count > 4 ? words[4] : ""
  }

  /// Whether one of the fields is this.
  func has(_ field: String) -> Bool { fields.split(separator: " ").contains { $0 == field } }

  /// Whether the thread that ran lost the processor although it could go on.
  var isPreemption: Bool { event == "sched_switch" && fields.contains(" prev_state=R") }
}

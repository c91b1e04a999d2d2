// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// The gaps of one loop, with what its meter named each.
struct GapLog {
  /// What a meter may name a gap.
  enum Name: Int, CaseIterable {
    case preempted, slept, faulted, signalled, tick, interruptOrHost
    /// The loop's own drain, or a handler of its own: the loop said so.
    case ours
  }

  /// One gap, from cycle to cycle.
  struct Gap {
    var begin: UInt64
    var end: UInt64
    var name: Name
    /// Whether the loop has drained, or run a handler, in it.
    var isOurs: Bool
  }

  /// All there is room for is written at first: the log's own page faults would be the meter's.
  private var gaps: [Gap]
  private(set) var count = 0
  /// Gaps for which there was no room.
  private(set) var dropped = 0

  /// When the loop began.
  var begin: UInt64 = 0

  init(room: Int) {
    gaps = Array(
      repeating: Gap(begin: 1, end: 1, name: .interruptOrHost, isOurs: false), count: room)
  }

  var all: ArraySlice<Gap> { gaps[..<count] }

  /// Notes a gap, if the meter has counted one since it began anew.
  mutating func note(from begin: UInt64, to end: UInt64, isOurs: Bool, _ report: NoiseMeter.Report)
  {
    guard let name = Self.name(report) else { return }
    guard count < gaps.count else {
      dropped += 1
      return
    }
    gaps[count] = Gap(begin: begin, end: end, name: name, isOurs: isOurs)
    count += 1
  }

  private static func name(_ report: NoiseMeter.Report) -> Name? {
    guard let causes = report.causes else { return nil }
    if causes.preempted > 0 { return .preempted }
    if causes.slept > 0 { return .slept }
    if causes.faulted > 0 { return .faulted }
    if causes.signalled ?? 0 > 0 { return .signalled }
    if causes.tick ?? 0 > 0 { return .tick }
    if causes.interruptOrHost > 0 { return .interruptOrHost }
    return report.drains + report.signals > 0 ? .ours : nil
  }
}

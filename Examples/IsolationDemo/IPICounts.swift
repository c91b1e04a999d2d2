// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace

/// The IPIs of one half, as its trace counts them: beside the statistics, and by other means.
struct IPICounts: Equatable, Sendable {
  /// What was recorded.
  var recorded: [RecordedEvent]
  /// How many events there are, of whatever kind.
  var events = 0
  /// How many the rings had no room for.
  var lost: UInt64 = 0
  /// By the name of the callback.
  var ipis: [String: UInt64] = [:]
  /// Whether the filters are those that let through what the statistics count.
  var hasDefaultFilters: Bool

  init(_ trace: HalfTrace, _ options: Options) {
    self.init(recorded: options.events, isolated: options.isolated)
    events = trace.events
    lost = trace.lost
    for interference in TraceRecording(halves: [trace]).interferences() {
      // An interrupt to several CPUs counts for each; the filter looks at all of them together.
      if hasDefaultFilters, !options.isolated.contains(interference.target) { continue }
      ipis[Self.name(interference.callback), default: 0] += UInt64(interference.count)
    }
  }

  init(recorded: [RecordedEvent], isolated: CPUMask) {
    self.recorded = recorded
    let usual = RecordedEvent.interrupts(of: isolated)
    hasDefaultFilters = usual.allSatisfy(recorded.contains)
  }

  var total: UInt64 { ipis.values.reduce(0, +) }

  /// A cross call has no name but the place where it is made.
  private static func name(_ callback: String) -> String {
    callback.contains(".swift:") ? Callback.plainCall.name : callback
  }

  /// What a comparison with the statistics came to.
  enum Agreement: Equatable, Sendable {
    case equal
    /// Callbacks of which the two tell different counts.
    case different([String])
    /// It was not made, for this reason.
    case notMade(String)
  }

  func agreement(with statistics: [CallbackCounts]) -> Agreement {
    guard hasDefaultFilters else { return .notMade("another filter decides what is counted") }
    guard lost == 0 else { return .notMade("\(lost) events were lost, for want of room") }
    var counted = Dictionary(uniqueKeysWithValues: statistics.map { ($0.callback.name, $0.ipis) })
    for name in ipis.keys where counted[name] == nil { counted[name] = 0 }
    let different = counted.filter { ipis[$0.key, default: 0] != $0.value }.sorted { $0 < $1 }
    if different.isEmpty { return .equal }
    return .different(
      different.map { name, count in
        "\(name): \(ipis[name, default: 0]) events, \(count) by the statistics"
      })
  }
}

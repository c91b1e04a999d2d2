// SPDX-License-Identifier: Apache-2.0

/// Who interrupted which CPU to run what, and how often.
///
/// ```swift
/// for interference in recording.interferences() where interference.target == 3 {
///   print(interference.count, interference.sender, interference.callback)
/// }
/// ```
///
/// Each interrupt that was sent counts once for each CPU it went to. Where the kernel only says
/// that it will look into the call queue, the callback is the function that the same thread queued
/// for that CPU last.
///
/// - Source: the events `ipi_send_cpu`, `ipi_send_cpumask` and `csd_queue_cpu` (Linux).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public struct TraceInterference: Sendable, Hashable {
  /// The thread that sent: its name and number, as `router-4711`.
  public let sender: String
  /// The CPU that was interrupted.
  public let target: Int
  /// The function that was to run there.
  public let callback: String
  /// How many interrupts.
  public let count: Int
}

extension TraceRecording {
  /// The interrupts of the recording, counted; the most frequent first.
  ///
  /// `recording.interferences().first?.sender`
  ///
  /// - Complexity: linear in the number of events.
  /// - Progress: blocking: reads the file
  /// - Context: any thread
  /// - Allocates: yes
  public func interferences() -> [TraceInterference] {
    var timeline = TraceTimeline(self)
    var counts = InterferenceCounts()
    for record in records() {
      timeline.add(record)
      for case .sent(let interrupt) in timeline.occurrences { counts.add(interrupt) }
    }
    return counts.interferences(timeline.names)
  }
}

/// Interrupts by sender, target and callback.
struct InterferenceCounts {
  private struct Key: Hashable {
    var sender: Int32
    var target: Int
    var callback: Int32
  }
  private var counts: [Key: Int] = [:]

  mutating func add(_ interrupt: TraceInterrupt) {
    let key = Key(
      sender: interrupt.origin.thread, target: interrupt.target, callback: interrupt.callback)
    counts[key, default: 0] += 1
  }

  /// The most frequent first.
  func interferences(_ names: TraceNames) -> [TraceInterference] {
    counts.map { key, count in
      TraceInterference(
        sender: names[key.sender], target: key.target, callback: names[key.callback], count: count)
    }
    .sorted { a, b in
      a.count != b.count
        ? a.count > b.count
        : (a.target, a.callback, a.sender) < (b.target, b.callback, b.sender)
    }
  }
}

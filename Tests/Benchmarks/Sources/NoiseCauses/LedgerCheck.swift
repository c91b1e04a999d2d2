// SPDX-License-Identifier: Apache-2.0

import CKernelView
import CPUIsolation
import Foundation

/// An ``InterferenceLedger`` that is read without rights, beside the kernel's record of the same seconds.
struct LedgerCheck {
  private let ledger: InterferenceLedger
  private let cpu: Int
  private let begin: UInt64
  private var end: UInt64 = 0
  private var row: InterferenceLedger.Row?

  /// The user that has no rights.
  private static let nobody: UInt32 = 65534

  init(_ coordinator: Coordinator, cpu: Int) {
    self.cpu = cpu
    (ledger, begin) = Self.withoutRights { InterferenceLedger(coordinator) }
  }

  /// Reads the ledger again.
  mutating func finish() {
    let ledger = ledger
    let (snapshot, moment) = Self.withoutRights { ledger.snapshot() }
    row = snapshot[cpu]
    end = moment
  }

  /// What the body returns, and the middle of the time that it took.
  private static func withoutRights<Result>(_ body: () -> Result) -> (Result, UInt64) {
    if act_as_user(nobody) != 0 { print("read with rights: errno \(errno)") }
    let before = cycle_counter()
    let result = body()
    let after = cycle_counter()
    if act_as_user(0) != 0 { print("without rights from here on: errno \(errno)") }
    return (result, before + (after - before) / 2)
  }

  // MARK: The kernel's record

  /// The columns with both figures, in Markdown.
  ///
  /// - Parameters:
  ///   - thread: the loop's.
  ///   - signal: the library's.
  ///   - frequency: cycles in a second.
  func table(_ lines: [TraceLine], thread: Int32, signal: Int32, frequency: Double) -> String {
    let kernel = counts(lines, thread: thread, signal: signal, frequency: frequency)
    var rows = ["| column | ledger | kernel's trace | difference |", "|---|---|---|---|"]
    for column in InterferenceLedger.Column.allCases {
      guard let row, let traced = kernel[column] else { continue }
      guard let counted = row[column] else {
        rows.append("| \(column) | not visible: \(row.reason(column) ?? "") | \(traced) | |")
        continue
      }
      let difference =
        traced == counted ? 0 : 100 * (Double(counted) - Double(traced)) / max(1, Double(traced))
      rows.append(
        "| \(column) | \(counted) | \(traced) | \(Double(Int(difference * 100)) / 100) % |")
    }
    return rows.joined(separator: "\n")
  }

  private func counts(
    _ lines: [TraceLine], thread: Int32, signal: Int32, frequency: Double
  ) -> [InterferenceLedger.Column: UInt64] {
    // Of what is not recorded, the hypervisor's time and its callbacks, nothing can be said.
    let columns: [InterferenceLedger.Column] = [
      .tlbShootdowns, .functionCalls, .rescheduling, .timer, .deviceInterrupts, .preemptions,
      .sleeps, .timeAway, .minorFaults, .kicks,
    ]
    var counts = Dictionary(uniqueKeysWithValues: columns.map { ($0, UInt64(0)) })
    var left: UInt64? = nil
    for line in lines where line.cycle <= end {
      let isCounted = line.cycle > begin
      // The kernel counts a stretch as a whole when it is over, whenever it began.
      if line.event == "sched_switch", line.has("next_pid=\(thread)"), let since = left {
        if isCounted {
          counts[.timeAway]! += UInt64(Double(line.cycle - since) * 1e9 / frequency)
        }
        left = nil
      }
      guard let column = Self.column(line, thread: thread, signal: signal) else { continue }
      if column == .preemptions { left = line.cycle }
      if isCounted { counts[column]! += 1 }
    }
    // As the ledger defines them.
    counts[.functionCalls]! -= min(counts[.functionCalls]!, counts[.tlbShootdowns]!)
    counts[.rescheduling]! -= min(counts[.rescheduling]!, counts[.kicks]!)
    return counts
  }

  private static func column(
    _ line: TraceLine, thread: Int32, signal: Int32
  ) -> InterferenceLedger.Column? {
    switch line.event {
    // A function that the processor calls itself has no descriptor.
    case "csd_function_entry":
      line.fields.contains("func=flush_tlb_func,") && !line.has("csd=0000000000000000")
        ? .tlbShootdowns : nil
    case "call_function_entry", "call_function_single_entry": .functionCalls
    case "reschedule_entry": .rescheduling
    case "local_timer_entry": .timer
    case "irq_handler_entry": .deviceInterrupts
    case "sched_switch" where line.thread == thread: line.isPreemption ? .preemptions : .sleeps
    case "page_fault_user" where line.thread == thread: .minorFaults
    case "page_fault_kernel" where line.thread == thread: .minorFaults
    case "signal_deliver" where line.thread == thread && line.has("sig=\(signal)"): .kicks
    default: nil
    }
  }
}

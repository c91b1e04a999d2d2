// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What has interrupted the processors of the loops, as the kernel recorded it, and who sent it.
struct InterruptAccount: Sendable {
  private let ledger: KernelLedger?
  private let refusal: String

  /// Begins to record, for those of the CPUs that have a processor.
  init(_ cpus: CPUMask) {
    let processors = Placement.processors(of: cpus)
    do {
      ledger = processors.isEmpty ? nil : try KernelLedger(processors: processors, kibibytes: 8192)
      refusal = "no loop has a processor of its own"
    } catch {
      ledger = nil
      refusal = "\(error)"
    }
  }

  /// Ends the recording, which would outlive the process until the next one records.
  func end() { ledger?.close() }

  /// What has come since the last time, in lines: how often, what it was for, and who sent it from where.
  func text() -> String {
    guard let ledger else { return "not visible: \(refusal)\n" }
    do {
      let report = try ledger.read()
      var counts: [String: Int] = [:]
      for entry in report.entries {
        let origin =
          entry.isFromInterrupt
          ? "inside an interrupt" : entry.process == report.process ? "own" : "other"
        let line =
          "\(entry.callback), \(origin), by \(entry.threadName) from \(entry.callSite) to \(entry.processor)"
        counts[line, default: 0] += 1
      }
      return counts.sorted { $0.value > $1.value }.map { "\($0.value) \($0.key)\n" }.joined()
        + "\(report.lost) lost\n"
    } catch {
      return "not visible: \(error)\n"
    }
  }
}

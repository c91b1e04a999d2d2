// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/Interference.md shows: every piece of Swift on the page stands here, line by
/// line.
@Suite("The article on interference")
struct InterferenceArticleTests {
  @Test("a ledger that is read every second, until it has something to say")
  func ledger() async throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.run { _ in }
    var lines: [String] = []
    func print(_ line: String) { lines.append(line) }

    let ledger = InterferenceLedger(coordinator)
    for await snapshot in ledger.snapshots(every: .seconds(1)) {
      for row in snapshot.rows {
        if let reason = row.reason(.tlbShootdowns) {
          print("CPU \(row.cpu): not visible: \(reason)")
        }
        if let flushes = row[.tlbShootdowns] { print("CPU \(row.cpu): \(flushes) shootdowns") }
        for device in row.devices ?? [] { print("  \(device.name): \(device.count)") }
        for kick in row.kicks { print("  \(kick.count) from \(kick.callSite ?? "unknown")") }
      }
      break
    }

    // A thread that may run on one processor alone is bound to it, whoever saw to that.
    if GivenProcessors.count == 1 { return }
    #expect(lines.count == 1 && lines[0].hasPrefix("CPU 1: not visible: thread "), "\(lines)")
  }
}

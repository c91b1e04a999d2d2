// SPDX-License-Identifier: Apache-2.0

/// What the kernel has counted for one thread, and where it may run. Reading it is no interrupt.
package struct ThreadCounts: Sendable {
  /// The number of the thread.
  package let id: Int32
  /// Its name.
  package let name: String
  /// The processors that it may run on.
  package let allowed: CPUMask
  /// Page faults that needed no device, and those that did.
  package let minorFaults: UInt64
  package let majorFaults: UInt64
  /// How often it gave its processor away, and how often the processor was taken from it.
  package let sleeps: UInt64
  package let preemptions: UInt64
  /// How long it wanted to run and could not, in nanoseconds; nil where the kernel does not count
  /// it.
  package let waited: UInt64?
  /// The scheduling class as `sched(7)` numbers it: 0 is the default, 1 first in first out, 2 in turns.
  package let policy: Int

  /// Reads a thread of a process, `self` being this one.
  package init(
    _ files: SystemFiles, process: String, thread: Int32
  ) throws(SystemFiles.Refusal) {
    let folder = "/proc/\(process)/task/\(thread)"
    let stat = try files.text("\(folder)/stat")
    let status = try files.text("\(folder)/status")
    guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"), open < close
    else { throw SystemFiles.Refusal(path: "\(folder)/stat", errno: 22) }
    // The name may have blanks and parentheses of its own: fields count from the last one, and the
    // first field after it is the third of the line.
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    func field(_ number: Int) -> UInt64 {
      fields.count > number - 3 ? UInt64(fields[number - 3]) ?? 0 : 0
    }
    func line(_ key: String) -> Substring? {
      status.split(separator: "\n").first { $0.hasPrefix(key + ":") }
        .map { $0.dropFirst(key.count + 1).drop { $0 == "\t" || $0 == " " } }
    }
    guard let preemptions = line("nonvoluntary_ctxt_switches").flatMap({ UInt64($0) }),
      let sleeps = line("voluntary_ctxt_switches").flatMap({ UInt64($0) }),
      let allowed = line("Cpus_allowed_list").flatMap({ CPUMask(String($0)) }),
      fields.count > 38
    else { throw SystemFiles.Refusal(path: "\(folder)/status", errno: 22) }
    id = thread
    name = String(stat[stat.index(after: open)..<close])
    self.allowed = allowed
    self.preemptions = preemptions
    self.sleeps = sleeps
    minorFaults = field(10)
    majorFaults = field(12)
    policy = Int(field(41))
    // Without the kernel's option the file is missing, or has three zeroes.
    let schedule = (try? files.text("\(folder)/schedstat"))?.split { $0 == " " || $0 == "\n" }
    let numbers = (schedule ?? []).compactMap { UInt64($0) }
    waited = numbers.count >= 3 && numbers.contains { $0 != 0 } ? numbers[1] : nil
  }

  /// The one processor that the thread is bound to; nil if it may run on several.
  package var processor: Int? { allowed.count == 1 ? allowed.first : nil }

  /// The threads of a process.
  package static func all(
    _ files: SystemFiles, process: String
  ) throws(SystemFiles.Refusal) -> [ThreadCounts] {
    try files.names(in: "/proc/\(process)/task").compactMap { name in
      // A thread that has ended meanwhile is none.
      Int32(name).flatMap { try? ThreadCounts(files, process: process, thread: $0) }
    }
  }
}

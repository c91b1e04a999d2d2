// SPDX-License-Identifier: Apache-2.0

import Foundation

@testable import CPUIsolation

/// Made-up files of a machine, in which a thread is bound to processor 2.
final class LedgerTree {
  let root: URL
  let thread: Int32

  init(thread: Int32) throws {
    root = FileManager.default.temporaryDirectory.appendingPathComponent("ledger-\(UUID())")
    self.thread = thread
    try write(InterruptCountsTests.x86, to: "/proc/interrupts")
    try write("flags\t: fpu tsc\n", to: "/proc/cpuinfo")
    try write("cpu 1 2 3\ncpu2 1 2 3 4 5 6 7 50 9 9\n", to: "/proc/stat")
    try writeThread()
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  var files: SystemFiles { SystemFiles(root: root.path) }

  func write(_ text: String, to path: String) throws {
    let file = root.appendingPathComponent(path)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  func remove(_ path: String) throws {
    try FileManager.default.removeItem(at: root.appendingPathComponent(path))
  }

  func writeThread(
    allowed: String = "2", minor: Int = 17, preemptions: Int = 6, schedule: String = "900 800 7"
  ) throws {
    let folder = "/proc/self/task/\(thread)"
    let rest = (4...52).map { $0 == 10 ? "\(minor)" : $0 == 12 ? "3" : "0" }
    // A name that has what ends a name in a careless reader.
    try write("\(thread) (a) 1 (b) R \(rest.joined(separator: " "))\n", to: "\(folder)/stat")
    try write(
      "Name:\ta\nCpus_allowed_list:\t\(allowed)\nvoluntary_ctxt_switches:\t5\n"
        + "nonvoluntary_ctxt_switches:\t\(preemptions)\n", to: "\(folder)/status")
    try write("\(schedule)\n", to: "\(folder)/schedstat")
  }

  /// The table with some counts of processor 2 moved on.
  func moveInterrupts(_ moves: [String: UInt64]) throws {
    let lines = InterruptCountsTests.x86.split(separator: "\n").map { line -> String in
      var words = line.split(separator: " ").map(String.init)
      let label = words[0].dropLast()
      guard let move = moves[String(label)] else { return String(line) }
      words[2] = "\((UInt64(words[2])! + move) & 0xffff_ffff)"
      return words.joined(separator: " ")
    }
    try write(lines.joined(separator: "\n"), to: "/proc/interrupts")
  }
}

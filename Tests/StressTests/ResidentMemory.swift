// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How much memory this process has touched and kept.
enum ResidentMemory {
  /// The second word of `/proc/self/statm`, in bytes.
  static var bytes: Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard unsafe fgets(&line, 256, file) != nil else { return 0 }
    let words = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .split(separator: " ")
    guard words.count > 1, let pages = Int(words[1]) else { return 0 }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// Does something again and again until the process has not grown meanwhile by as much as `limit`:
  /// other suites touch memory at the same time, but what leaks grows every time. Returns how often,
  /// and the last growth if it never settled.
  static func settle(
    within limit: Int = 4 << 20, _ body: () throws -> Void
  ) rethrows -> (rounds: Int, growth: String?) {
    let until = Until(StressDuration.generous)
    var rounds = 0
    while true {
      let before = bytes
      try body()
      let after = bytes
      rounds += 1
      if after < before + limit { return (rounds, nil) }
      if until.isOver { return (rounds, "from \(before >> 10) KiB to \(after >> 10) KiB") }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Whether the memory that the process keeps stays what it was after warming up.
struct ResidentMemory {
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

  /// When the process has warmed up: everything has been used once, and allocators have taken what they keep.
  private let warm: Int
  private var base = 0

  init(seconds: Int) { warm = min(max(seconds / 4, 3), 20) }

  /// The most that the process may keep, once that is known.
  var bound: Int? { base == 0 ? nil : base + base / 4 + 32 << 20 }

  /// A sentence where the process keeps too much in this second.
  mutating func complaint(at second: Int, keeping bytes: Int) -> String? {
    if second <= warm {
      base = second == warm ? bytes : 0
      return nil
    }
    guard let bound, bytes > bound else { return nil }
    return
      "resident memory has grown from \(base >> 20) MiB, after \(warm) s, to \(bytes >> 20) MiB"
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What the kernel says of the calling thread, by field name: "Name", "Cpus_allowed_list".
enum ThreadStatus {
  static func current() -> [String: String] {
    let file = unsafe open("/proc/thread-self/status", O_RDONLY)
    guard file >= 0 else { return [:] }
    defer { close(file) }
    let text = unsafe String(unsafeUninitializedCapacity: 16_384) { buffer in
      unsafe max(0, read(file, buffer.baseAddress, buffer.count))
    }
    let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
      let parts = line.split(separator: ":\t", maxSplits: 1)
      return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
    }
    return Dictionary(pairs) { first, _ in first }
  }
}

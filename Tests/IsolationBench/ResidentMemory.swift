// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How much of this process lies in memory.
enum ResidentMemory {
  /// In KiB, from the second number of `/proc/self/statm`; nil if there is no such file. Reading it
  /// allocates nothing.
  static var kibibytes: UInt64? {
    let file = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    let capacity = 128
    return unsafe withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 1) { buffer in
      let length = unsafe read(file, buffer.baseAddress, capacity)
      guard length > 0 else { return nil }
      var pages: UInt64 = 0
      var field = 0
      for index in 0..<length {
        let byte = unsafe buffer[index]
        if byte == UInt8(ascii: " ") {
          field += 1
        } else if field == 1, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
          pages = pages * 10 + UInt64(byte - UInt8(ascii: "0"))
        }
      }
      return pages * UInt64(getpagesize()) / 1024
    }
  }
}

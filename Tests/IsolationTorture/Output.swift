// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Lines on standard output, whole and at once.
enum Output {
  static func line(_ text: String) { write(text, to: STDOUT_FILENO) }
  static func complaint(_ text: String) { write("isolation-torture: \(text)", to: STDERR_FILENO) }

  private static func write(_ text: String, to file: Int32) {
    var bytes = Array((text + "\n").utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(file, $0.baseAddress, $0.count)
      }
      if count > 0 {
        bytes.removeFirst(count)
      } else if errno != EINTR {
        return
      }
    }
  }
}

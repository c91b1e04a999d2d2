// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Standard error, without its buffer and without the global variable that C keeps it in.
enum StandardError {
  static func write(_ text: String) {
    var text = text
    text.withUTF8 { bytes in _ = unsafe Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
  }
}

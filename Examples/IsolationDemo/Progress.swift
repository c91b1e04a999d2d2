// SPDX-License-Identifier: Apache-2.0

import Glibc

/// One line on standard error that is written again and again, if somebody looks at it.
struct Progress: Sendable {
  private let isShown: Bool

  /// Shows progress on a terminal alone.
  init() { isShown = isatty(STDERR_FILENO) == 1 }

  func show(_ text: String) {
    if isShown { StandardError.write("\r\(text)\u{1b}[K") }
  }

  func show(_ text: String, _ passed: Duration, of duration: Duration) {
    show("\(text): \(decimal(passed / .seconds(1), 1)) of \(decimal(duration / .seconds(1), 1)) s")
  }

  /// Leaves nothing afterwards.
  func clear() { show("") }
}

// SPDX-License-Identifier: Apache-2.0

/// A pattern of texts, with `*`, `?` and `[a-z]`, as filters take it after `~`.
package struct ShellPattern: Sendable {
  private let pattern: [UInt8]

  package init(_ pattern: String) { self.pattern = Array(pattern.utf8) }

  /// Whether the whole of a text is of this pattern.
  package func matches(_ text: String) -> Bool {
    // Safety: the bytes are only looked at while the arrays lend them.
    unsafe Array(text.utf8).withUnsafeBytes { text in
      unsafe pattern.withUnsafeBytes {
        unsafe FilterProgram.matches(FilterBytes(text), pattern: FilterBytes($0))
      }
    }
  }
}

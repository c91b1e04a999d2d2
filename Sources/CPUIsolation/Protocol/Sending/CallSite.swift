// SPDX-License-Identifier: Apache-2.0

/// Where a call was made: what a watchdog names.
@frozen @usableFromInline
struct CallSite {
  @usableFromInline let file: StaticString
  @usableFromInline let line: UInt

  @inlinable @inline(__always)
  init(_ file: StaticString, _ line: UInt) {
    self.file = file
    self.line = line
  }
}

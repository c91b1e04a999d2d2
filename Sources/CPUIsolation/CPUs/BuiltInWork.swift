// SPDX-License-Identifier: Apache-2.0

/// The bits of a work word that are the library's own.
@usableFromInline
enum BuiltInWork {
  /// Cross calls that may run at once, in an interrupt too.
  @usableFromInline static let calls: UInt64 = 61
  /// Cross calls that wait for a safe point of a CPU whose interrupter is the signal.
  @usableFromInline static let patientCalls: UInt64 = 62
  /// The CPU is asked to look at once: set with every kick, looked at by `poll`, taken with the
  /// work.
  @usableFromInline static let attention: UInt64 = 63

  @usableFromInline static let count = 3

  @inlinable @inline(__always)
  static var attentionMask: UInt64 { 1 << 63 }
  @inlinable @inline(__always)
  static var mask: UInt64 { 7 << 61 }
}

// SPDX-License-Identifier: Apache-2.0

/// Addresses that stand for names in records, where the kernel has those of functions.
///
/// Both kinds have their top bit set, as addresses of the kernel have: no function of the process
/// is there.
///
///     63 62                                        16 15           0
///     ┌──┬───────────────────────────────────────────┬─────────────┐
///     │1 │ address of the file's name, a literal     │ line        │  a call site
///     └──┴───────────────────────────────────────────┴─────────────┘
///     0xffff_ffff_8000_0000 + 16 × registration                       a work type
enum TraceAddress {
  private static let workBase: UInt64 = 0xffff_ffff_8000_0000
  private static let top: UInt64 = 1 << 63
  private static let lineMask: UInt64 = 0xffff

  /// The address of a work type, by the number of its registration.
  static func work(_ registration: UInt64) -> UInt64 { workBase &+ registration &<< 4 }

  /// How far the addresses of one work type reach.
  static let workSize: UInt64 = 16

  static func site(_ file: UInt, line: UInt) -> UInt64 {
    top | UInt64(file) &<< 16 | min(UInt64(line), lineMask)
  }

  /// The call site that an address stands for: the address of the file's name, and the line.
  static func site(at address: UInt64) -> (file: UInt, line: UInt64)? {
    guard address & top != 0, address < workBase else { return nil }
    return (UInt(address & ~top) >> 16, address & lineMask)
  }
}

extension TraceBuffers {
  /// The word that says where in a record the content of a field is.
  static func location(at offset: Int, byteCount: Int) -> UInt64 {
    UInt64(byteCount) << 16 | UInt64(offset)
  }
}

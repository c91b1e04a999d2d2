// SPDX-License-Identifier: Apache-2.0

/// How a work type is delivered, in one byte: what the paths switch on.
@usableFromInline
enum WorkForm: UInt8 {
  case bit, catchUp, maximum, union, hull

  /// What two payloads become. Never less than either, so that nothing is lost; 0 only of 0 and 0.
  func merged(_ old: UInt64, _ new: UInt64) -> UInt64 {
    switch self {
    case .union: return old | new
    case .hull:
      let half: UInt64 = 0xffff_ffff
      return max(old & half, new & half) | max(old & ~half, new & ~half)
    case .maximum, .bit, .catchUp: return max(old, new)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// What became of up to 64 targets: a bit for each target that is filed, and three for its outcome's place.
///
/// Four words, where a mask for each of eight outcomes would be eight: a report is copied wherever it is
/// handed on, and a copy of less than 128 bytes is made on the spot.
@usableFromInline
struct OutcomePlanes: Sendable {
  @usableFromInline var filed: UInt64
  @usableFromInline var first: UInt64
  @usableFromInline var second: UInt64
  @usableFromInline var third: UInt64

  @inlinable @inline(__always)
  init() { (filed, first, second, third) = (0, 0, 0, 0) }

  /// Files targets that are not filed yet.
  @inline(__always)
  mutating func file(_ targets: UInt64, at place: Int) {
    filed |= targets
    if place & 1 != 0 { first |= targets }
    if place & 2 != 0 { second |= targets }
    if place & 4 != 0 { third |= targets }
  }

  /// The targets that are filed at a place.
  func targets(at place: Int) -> UInt64 {
    filed & (place & 1 != 0 ? first : ~first) & (place & 2 != 0 ? second : ~second)
      & (place & 4 != 0 ? third : ~third)
  }
}

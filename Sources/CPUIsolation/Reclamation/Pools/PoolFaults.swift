// SPDX-License-Identifier: Apache-2.0

/// The places inside the pool's operations at which a thread may be held up or may die, in the
/// order in which it passes them.
@usableFromInline
enum PoolPoint: Int, CaseIterable, Sendable {
  case pushBegins, entryWritten, pushPublished
  case popBegins, bottomLowered, topRead, lastClaimed
  case stealBegins, bottomRead, entryRead, stolen
  case shelfCounted, shelfPlaced, shelfSeen, shelfTaken
}

/// What happens at the points: nothing in what is shipped, delays and deaths in the torture tests.
///
/// A type and not a closure: the operations are specialised for it, and the shipped specialisation
/// has no trace of the points.
@usableFromInline
protocol PoolFaults {
  static func reach(_ point: PoolPoint)
}

/// Nothing happens.
@usableFromInline
enum NoFaults: PoolFaults {
  @inlinable @inline(__always)
  static func reach(_ point: PoolPoint) {}
}

// SPDX-License-Identifier: Apache-2.0

extension WorkType {
  /// What a send tells a handler: 64 bits that merge with what waits there already.
  ///
  ///     var options = WorkType.Options()
  ///     options.delivery = .merging(.hull)
  ///     let flush = try coordinator.register("flush_tlb_range", options: options) { cpu, payload in
  ///       payload.isEverything ? caches[cpu].removeAll() : caches[cpu].remove(payload.range)
  ///     }
  ///     coordinator.send(flush, to: coordinator.cpus, payload: .range(16..<24))
  ///
  /// However many sends wait, their payload has one size, so that memory stays constant for a CPU
  /// that does not enter. A send without payload is for `everything`. The handler of a catch-up type
  /// is told how many generations it lags.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @frozen
  public struct Payload: Hashable, Sendable {
    /// The 64 bits; 0 is nothing: a send of that is skipped.
    public let rawValue: UInt64

    /// The payload of these 64 bits: a number to take the maximum of, or bits to unite.
    ///
    ///     sender.send(refresh, to: [3], payload: .init(rawValue: 1 << shard))
    ///
    /// - Parameter rawValue: the bits; 0 is nothing, and all ones are `everything`.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// A range for `Merge.hull`, of pages, slots or whatever the type is about. An empty one is
    /// nothing.
    ///
    ///     sender.send(flush, to: [3], payload: .range(16..<24))
    ///
    /// - Parameter range: numbers of whatever the type is about; an empty range is nothing.
    /// - Returns: a payload that `Payload.range` reads back.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public static func range(_ range: Range<UInt32>) -> Payload {
      if range.isEmpty { return Payload(rawValue: 0) }
      // The lower bound inverted: the hull of two ranges is then the maximum of both halves.
      return Payload(rawValue: UInt64(range.upperBound) << 32 | UInt64(~range.lowerBound))
    }

    /// What no payload adds anything to: the answer when there is too much to say.
    public static var everything: Payload { Payload(rawValue: .max) }

    /// Whether this is `everything`.
    public var isEverything: Bool { rawValue == .max }

    /// The range, for `Merge.hull`.
    public var range: Range<UInt32> {
      let lower = ~UInt32(truncatingIfNeeded: rawValue)
      let upper = UInt32(truncatingIfNeeded: rawValue >> 32)
      return lower < upper ? lower..<upper : 0..<0
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

extension RegionMap {
  /// How an insertion ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum InsertOutcome: Hashable, Sendable {
    /// The region is there.
    case inserted
    /// It overlaps with a region that is there, whose bounds these are; nothing was changed.
    case overlaps(Range<UInt64>)
    /// A region without an address; nothing was changed.
    case empty
    /// The map has as many regions as it has room for; nothing was changed.
    case full
  }

  /// Adds a region.
  ///
  ///     guard code.insert(.parser, over: 0x4000..<0x9000) == .inserted else { … }
  ///
  /// - Parameters:
  ///   - value: what lookups find.
  ///   - bounds: the addresses, which no other region may have.
  /// - Returns: `.inserted`; else `.overlaps` with the other region's bounds, `.full`, or `.empty`
  ///   for an empty range: then nothing was changed.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: a few words, which are gone when it returns
  public func insert(_ value: Value, over bounds: Range<UInt64>) -> InsertOutcome {
    if bounds.isEmpty { return .empty }
    return storage.withLock { tree in
      // The last region that begins before the end is the only one to ask.
      if let other = tree.region(before: bounds.upperBound), other[1] > bounds.lowerBound {
        return .overlaps(other[0]..<other[1])
      }
      if !tree.hasRoom { return .full }
      tree.change { tree.add(Self.words(bounds, value)) }
      return .inserted
    }
  }

  /// Gives the region that an address is in another value, and returns what it was. Nil: there is
  /// none.
  ///
  /// - Parameters:
  ///   - address: an address of the region, not its first alone.
  ///   - value: the new value.
  /// - Returns: the region as it was before, or nil.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: a few words, which are gone when it returns
  @discardableResult
  public func update(at address: UInt64, to value: Value) -> Region? {
    storage.withLock { tree in
      guard let old = tree.region(at: address) else { return nil }
      tree.change { tree.replace(Self.words(old[0]..<old[1], value)) }
      return Self.region(old)
    }
  }

  /// Takes the region out that an address is in, and returns it. Nil: there is none.
  ///
  /// - Parameter address: an address of the region, not its first alone.
  /// - Returns: the region as it was, or nil.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: a few words, which are gone when it returns
  @discardableResult
  public func remove(at address: UInt64) -> Region? {
    storage.withLock { tree in
      guard let old = tree.region(at: address) else { return nil }
      tree.change { tree.remove(from: old[0]) }
      return Self.region(old)
    }
  }

  /// Takes every region out that has an address in the range, in one change, and returns them in
  /// order.
  ///
  ///     _ = code.split(at: 0x5000)  // so that what is below 0x5000 stays
  ///     let gone = code.removeAll(overlapping: 0x5000..<0x9000)
  ///
  /// - Parameter bounds: an empty range removes nothing.
  /// - Returns: the regions as they were, by ascending address.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: the list
  @discardableResult
  public func removeAll(overlapping bounds: Range<UInt64>) -> [Region] {
    if bounds.isEmpty { return [] }
    return storage.withLock { tree in
      tree.change {
        var removed: [[UInt64]] = []
        while let last = tree.region(before: bounds.upperBound), last[1] > bounds.lowerBound {
          tree.remove(from: last[0])
          removed.append(last)
        }
        return removed
      }
    }.reversed().map { Self.region($0) }
  }

  /// How a split or a merge ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum ReshapeOutcome: Hashable, Sendable {
    /// There are two regions now where there was one, or one where there were two.
    case done
    /// The address is in no region, or begins one already; for a merge, no two regions meet there.
    case nothing
    /// The map has as many regions as it has room for; nothing was changed.
    case full
  }

  /// Makes two regions of the one that an address is in: one up to it, the other from it on.
  ///
  ///     _ = code.split(at: 0x5000, upper: .lexer)
  ///
  /// No lookup in between finds neither of them.
  ///
  /// - Parameters:
  ///   - address: where the second one begins.
  ///   - value: its value; nil is that of the first.
  /// - Returns: `.done`; `.nothing` if the address is in no region or begins one; `.full`.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: a few words, which are gone when it returns
  public func split(at address: UInt64, upper value: Value? = nil) -> ReshapeOutcome {
    storage.withLock { tree in
      guard let old = tree.region(at: address), old[0] < address else { return .nothing }
      if !tree.hasRoom { return .full }
      let region = Self.region(old)
      tree.change {
        tree.replace(Self.words(old[0]..<address, region.value))
        tree.add(Self.words(address..<old[1], value ?? region.value))
      }
      return .done
    }
  }

  /// Makes one region of the two that meet at an address; its value is that of the lower one.
  ///
  ///     _ = code.merge(at: 0x5000)
  ///
  /// - Parameter address: where the upper region begins and the lower one ends.
  /// - Returns: `.done`, or `.nothing` if no two regions meet there.
  /// - Progress: blocking, for as long as another thread changes the map
  /// - Context: any thread, outside signal handlers
  /// - Allocates: a few words, which are gone when it returns
  public func merge(at address: UInt64) -> ReshapeOutcome {
    storage.withLock { tree in
      guard let upper = tree.region(at: address), upper[0] == address,
        let lower = tree.region(before: address), lower[1] == address
      else { return .nothing }
      tree.change {
        tree.remove(from: address)
        tree.replace(Self.words(lower[0]..<upper[1], Self.region(lower).value))
      }
      return .done
    }
  }
}

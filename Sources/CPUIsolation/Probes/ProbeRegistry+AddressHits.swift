// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeRegistry.AddressTable {
  /// How a mapping ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum MapOutcome: Hashable, Sendable {
    /// Hits find the region.
    case mapped
    /// Another region, whose bounds these are, has some of the addresses; nothing was changed.
    case overlaps(Range<UInt64>)
    /// A region without an address; nothing was changed.
    case empty
    /// There are as many regions as there is room for; nothing was changed.
    case full
  }

  /// How the insertion of a point ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum InsertOutcome: Hashable, Sendable {
    /// Hits find the point.
    case inserted
    /// There is a point at this place; nothing was changed.
    case occupied
    /// There is no room: in the table, or there was none for the point in its registry. Nothing was
    /// changed.
    case full
  }

  /// How a hit at an address ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @frozen
  public enum HitOutcome: Hashable, Sendable {
    /// There is a point, and what was attached to it has run.
    case ran
    /// The thread was in a probe's function: nothing ran, and the point has counted it.
    case nested
    /// The address is in no region, or no point is there.
    case unknown
    /// Regions were being changed at every look, or the system's numbers for threads are all given out:
    /// nothing ran.
    case undecided
  }

  /// What an address is.
  ///
  ///     if let place = code.location(of: address) { print(place.object, place.offset) }
  public struct Location: Hashable, Sendable {
    /// The object whose region the address is in.
    public let object: UInt64
    /// The offset of the address in it.
    public let offset: UInt64
    /// The name of the point there; nil if there is none.
    public let pointName: String?
  }

  /// Runs what is attached to the point at an address, with any number of arguments.
  ///
  ///     code.hit(at: address, key, length)
  ///
  /// Arguments that the point has and the hit has not are zero; further ones are not looked at. While
  /// regions change the hit looks eight times, never waits, and says if it could not tell.
  ///
  /// - Parameters:
  ///   - address: any address.
  ///   - argument: up to 16 values, which are read as 64-bit words; more end the process with a sentence.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit<each Argument: FixedWidthInteger & Sendable>(
    at address: UInt64, _ argument: repeat each Argument
  ) -> HitOutcome {
    // Safety: as below.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 25) { words in
      // Safety: a word before the arguments, 16 for them, and eight for a region.
      let base = unsafe Table(words.baseAddress.unsafelyUnwrapped)
      var count = 0
      for argument in repeat each argument {
        count &+= 1
        if count > 16 { Self.refuseArguments() }
        base[count] = UInt64(truncatingIfNeeded: argument)
      }
      return ProbeCore.hit(places, address, base, count)
    }
  }

  /// Runs what is attached to the point at an address, with no arguments.
  ///
  /// - Parameter address: any address.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit(at address: UInt64) -> HitOutcome {
    ProbeCore.hit(places, address, 0, 0, 0, 0, 0)
  }

  /// Runs what is attached to the point at an address, with one argument.
  ///
  /// - Parameters:
  ///   - address: any address.
  ///   - argument: its value, as a 64-bit word.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit(at address: UInt64, _ argument: some FixedWidthInteger & Sendable) -> HitOutcome {
    ProbeCore.hit(places, address, 1, UInt64(truncatingIfNeeded: argument), 0, 0, 0)
  }

  /// Runs what is attached to the point at an address, with two arguments.
  ///
  /// - Parameters:
  ///   - address: any address.
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit(
    at address: UInt64, _ first: some FixedWidthInteger & Sendable,
    _ second: some FixedWidthInteger & Sendable
  ) -> HitOutcome {
    ProbeCore.hit(
      places, address, 2, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second), 0,
      0)
  }

  /// Runs what is attached to the point at an address, with three arguments.
  ///
  /// - Parameters:
  ///   - address: any address.
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit(
    at address: UInt64, _ first: some FixedWidthInteger & Sendable,
    _ second: some FixedWidthInteger & Sendable, _ third: some FixedWidthInteger & Sendable
  ) -> HitOutcome {
    ProbeCore.hit(
      places, address, 3, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
      UInt64(truncatingIfNeeded: third), 0)
  }

  /// Runs what is attached to the point at an address, with four arguments.
  ///
  /// - Parameters:
  ///   - address: any address.
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  /// - Returns: what became of it.
  /// - Progress: wait-free, and as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always) @discardableResult
  public func hit(
    at address: UInt64, _ first: some FixedWidthInteger & Sendable,
    _ second: some FixedWidthInteger & Sendable, _ third: some FixedWidthInteger & Sendable,
    _ fourth: some FixedWidthInteger & Sendable
  ) -> HitOutcome {
    ProbeCore.hit(
      places, address, 4, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
      UInt64(truncatingIfNeeded: third), UInt64(truncatingIfNeeded: fourth))
  }

  @usableFromInline @inline(never)
  static func refuseArguments() -> Never {
    misuse("a hit at an address has more than 16 arguments")
  }

  /// How many hits found no point at their address.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var unknownHits: UInt64 { places.header.unknown.load(ordering: .relaxed) }

  /// How many hits could not tell, since regions were being changed at every look.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var undecidedHits: UInt64 { places.header.undecided.load(ordering: .relaxed) }

  /// The search of a hit alone, while no point is taken away, to compare with.
  @inlinable @inline(__always)
  package func find(_ object: UInt64, _ offset: UInt64) -> UInt64? {
    places.find(object, offset).map { UInt64($0) }
  }
}

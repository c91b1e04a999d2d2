// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeCore {
  /// Runs what is attached to the point at an address, with `count` of four arguments.
  @usableFromInline @inline(never)
  static func hit(
    _ places: ProbePlaces, _ address: UInt64, _ count: Int,
    _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64
  ) -> ProbeRegistry.AddressTable.HitOutcome {
    // Safety: as many words as `hit` asks for.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 25) { words in
      // Safety: as above.
      let base = unsafe Table(words.baseAddress.unsafelyUnwrapped)
      base[1] = first
      base[2] = second
      base[3] = third
      base[4] = fourth
      return hit(places, address, base, count)
    }
  }

  /// Runs what is attached to the point at an address. `words` is a word for the common fields of a trace
  /// event, `count` arguments, room for as many as a point can have, and for a region.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func hit(
    _ places: ProbePlaces, _ address: UInt64, _ words: Table<UInt64>, _ count: Int
  ) -> ProbeRegistry.AddressTable.HitOutcome {
    let core = places.header.core
    switch core.shape.value.sections.enter() {
    case .entered(let line):
      defer { core.shape.value.sections.leave(line) }
      switch places.locate(address, words.dropping(17)) {
      case .site(let site):
        // What the point has more than the hit is zero.
        var index = count
        while index < site.base.value.arguments {
          words[index &+ 1] = 0
          index &+= 1
        }
        core.runList(of: site, words, line)
        return .ran
      case .unknown: return .unknown
      case .undecided: return .undecided
      }
    case .nested:
      // The section round us keeps the place.
      switch places.locate(address, words.dropping(17)) {
      case .site(let site):
        site.base.value.nested.wrappingAdd(1, ordering: .relaxed)
        return .nested
      case .unknown: return .unknown
      case .undecided: return .undecided
      }
    case .numberless:
      core.shape.value.numberless.wrappingAdd(1, ordering: .relaxed)
      return .undecided
    }
  }
}

extension ProbePlaces {
  /// What an address leads to.
  enum Location {
    case site(ProbeSite)
    case unknown
    case undecided
  }

  /// How often a search for a region is made while regions change.
  private static var tries: Int { 8 }

  /// The point at an address, in a section. `region` has room for a region.
  ///
  /// Wait-free: it never waits for who changes regions, who may be the thread that it interrupts.
  @inline(__always)
  func locate(_ address: UInt64, _ region: Table<UInt64>) -> Location {
    var left = Self.tries
    while left > 0 {
      switch header.regions.speculate(address, into: region) {
      case .found:
        let offset = region[3] &+ (address &- region[0])
        guard let bits = find(region[2], offset), let base = Address(at: bits) else {
          header.unknown.wrappingAdd(1, ordering: .relaxed)
          return .unknown
        }
        // Safety: entries hold nothing but addresses of sites, which are never given back.
        return .site(ProbeSite(base: unsafe Place(base)))
      case .unknown:
        // There was no change, so there is no region.
        header.unknown.wrappingAdd(1, ordering: .relaxed)
        return .unknown
      case .writerActive, .changed: left &-= 1
      }
    }
    header.undecided.wrappingAdd(1, ordering: .relaxed)
    return .undecided
  }
}

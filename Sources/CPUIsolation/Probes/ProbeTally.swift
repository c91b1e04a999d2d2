// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Counts by the value of an argument.
enum ProbeTally {
  /// A hash table of keys and counts that threads add to without a lock: keys come and stay.
  ///
  ///     offset   0  how many hits found no room
  ///             16  entries: a key, and its count; a key that is not there yet has the count 0
  ///
  /// An entry is claimed by its count, from 0 to `claimed`; the key is written, and then the count
  /// becomes 1. A hit that meets a claimed entry does not wait for it: it goes on, so a key can have
  /// two entries, which a reader adds up.
  // Sendable: an address of memory in which every word is atomic.
  @safe
  struct Memory: @unchecked Sendable {
    let base: Address

    static var entries: Int { 1024 }
    static var byteCount: Int { 16 + entries * 16 }
    private static var claimed: UInt64 { .max }

    init(base: Address) { self.base = base }

    // Safety: the map above says where.
    var overflow: Place<SharedWord> { unsafe Place(base) }

    private func entry(_ index: Int) -> Table<SharedWord> {
      // Safety: as above; the index is below the number of entries.
      unsafe Table(base + (16 &+ index &* 16))
    }

    /// Counts a value. Wait-free: it looks at 64 entries at most.
    func add(_ key: UInt64) {
      var index = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) &>> 54)
      for _ in 0..<64 {
        let entry = entry(index & (Self.entries - 1))
        // Acquire — tally:C. The key of an entry that has a count. Pairs with tally:P.
        let count = entry[1].load(ordering: .acquiring)
        if count == 0 {
          // Relaxed: who claims it writes the key next, and nobody reads it before.
          if entry[1].compareExchange(
            expected: 0, desired: Self.claimed, successOrdering: .relaxed,
            failureOrdering: .relaxed
          ).exchanged {
            entry[0].store(key, ordering: .relaxed)
            // Release — tally:P. The key before the count that shows it. Pairs with tally:C.
            entry[1].store(1, ordering: .releasing)
            return
          }
        } else if count != Self.claimed, entry[0].load(ordering: .relaxed) == key {
          entry[1].wrappingAdd(1, ordering: .relaxed)
          return
        }
        index &+= 1
      }
      overflow.value.wrappingAdd(1, ordering: .relaxed)
    }

    var counts: [UInt64: UInt64] {
      var counts: [UInt64: UInt64] = [:]
      for index in 0..<Self.entries {
        let entry = entry(index)
        // Acquire — tally:C, as above. Pairs with tally:P.
        let count = entry[1].load(ordering: .acquiring)
        if count == 0 || count == Self.claimed { continue }
        counts[entry[0].load(ordering: .relaxed), default: 0] &+= count
      }
      return counts
    }
  }
}

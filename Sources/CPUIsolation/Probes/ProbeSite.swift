// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A point in the program as the hit sees it: an address of one line, which is never given back.
// Sendable: an address of memory in which every word is atomic or constant.
@frozen @safe @usableFromInline
struct ProbeSite: Hashable, @unchecked Sendable {
  @usableFromInline let base: Place<ProbeSiteLine>

  init(base: Place<ProbeSiteLine>) { self.base = base }

  /// Whether anything is attached: one load of a line that is written when that changes.
  @inlinable @inline(__always)
  var isAttached: Bool { base.value.list.load(ordering: .relaxed) != 0 }

  @usableFromInline
  static func == (left: ProbeSite, right: ProbeSite) -> Bool { left.base.bits == right.base.bits }

  @usableFromInline
  func hash(into hasher: inout Hasher) { hasher.combine(base.bits) }
}

/// What stands in a site's line.
@safe @usableFromInline
struct ProbeSiteLine: ~Copyable {
  /// The list of what is attached; 0 is nothing.
  @usableFromInline let list = SharedAddress(0)
  /// The name of the only probe, where that one measures and does nothing else; 0 is none.
  let measuring = SharedWord(0)
  /// Hits inside a handler, which ran nothing.
  let nested = SharedWord(0)
  let core: ProbeCore
  let index: Int
  /// How many arguments a hit has.
  let arguments: Int
}

/// What is attached to a point: a count and the records, in memory that never changes once it is
/// published.
// Sendable: an address of constants.
@safe
struct ProbeList: @unchecked Sendable {
  let base: Table<UInt>

  init(base: Table<UInt>) { self.base = base }

  /// A list of records; nil if there is none.
  static func make(_ records: [Place<ProbeRecord>]) -> ProbeList? {
    if records.isEmpty { return nil }
    return ProbeList(words: [UInt(records.count)] + records.map(\.bits))
  }

  /// A list of nothing, which hits find after the end.
  static func makeEmpty() -> ProbeList {
    ProbeList(words: [0])
  }

  private init(words: [UInt]) {
    // Safety: new memory, until `deallocate`.
    base = unsafe Table(UnsafeMutablePointer.allocate(capacity: words.count))
    for (index, word) in words.enumerated() { base.place(index).initialize(to: word) }
  }

  @inline(__always)
  var count: Int { Int(bitPattern: base[0]) }

  @inline(__always)
  subscript(index: Int) -> Place<ProbeRecord> {
    // Safety: `make` put the address of a record there.
    unsafe Place(Address(at: base[index &+ 1]).unsafelyUnwrapped)
  }

  /// The name of the only record, where that one measures and does nothing else; else 0.
  var measuring: UInt64 {
    count == 1 && self[0].value.isPlainLatency ? self[0].value.name : 0
  }

  // Safety: nobody looks at the list any more.
  func deallocate() { unsafe base.first.pointer.deallocate() }
}

/// What hits share, as a trivially copyable handle round one address: constants, which live as long
/// as the process.
// Sendable: an address of constants, and of memory in which every word is atomic.
@safe @usableFromInline
struct ProbeCore: @unchecked Sendable {
  let base: Place<ProbeShape>

  init(base: Place<ProbeShape>) { self.base = base }
}

@safe
struct ProbeShape: ~Copyable {
  let sections: ProbeSections
  let counts: ProbeCounts
  /// Where return probes keep what an activation began with.
  let activations: PoolCore
  /// By the number of a probe the address of its record; 0 is none.
  let records: Table<SharedAddress>
  /// Hits of threads that the system gave no number.
  let numberless = SharedWord(0)
  /// Hits after the end of the registry.
  let late = SharedWord(0)
  /// 1 after the end.
  let isClosed = SharedWord(0)
}

/// Counts of hits, by probe and by thread: no two threads write one line.
///
/// The first 63 threads that hit anything have a stripe of their own each, which they count in with
/// plain stores; all others share one and count atomically. Pages that no thread counts in are not
/// there.
// Sendable: an address of memory in which every word is atomic.
@safe
struct ProbeCounts: @unchecked Sendable {
  let base: Table<SharedWord>
  /// The words of a stripe.
  let words: Int

  static var stripes: Int { 64 }

  static func byteCount(words: Int) -> Int { stripes * words * 8 }

  init(base: Address, words: Int) {
    // Safety: the memory has as many words for each stripe.
    self.base = unsafe Table(base)
    self.words = words
  }

  /// Adds to a word in the calling thread's section, where nothing interrupts it that counts.
  @inline(__always)
  func add(_ number: UInt64, to word: Int, thread: Int) {
    if thread < Self.stripes {
      let cell = base.place(thread &* words &+ word)
      cell.value.store(
        cell.value.load(ordering: .relaxed) &+ number, ordering: .relaxed)
    } else {
      base[word].wrappingAdd(number, ordering: .relaxed)
    }
  }

  /// The sum over all threads.
  func sum(_ word: Int) -> UInt64 {
    (0..<Self.stripes).reduce(0) { sum, stripe in
      sum &+ base[stripe * words + word].load(ordering: .relaxed)
    }
  }

  /// Forgets a word that no thread counts in.
  func reset(_ word: Int) {
    for stripe in 0..<Self.stripes {
      let cell = base.place(stripe * words + word)
      // Only where there is something: a store would make the page.
      if cell.value.load(ordering: .relaxed) != 0 {
        cell.value.store(0, ordering: .relaxed)
      }
    }
  }
}

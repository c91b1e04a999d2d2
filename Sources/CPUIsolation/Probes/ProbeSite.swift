// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A point in the program as the hit sees it: an address of one line, which is never given back.
// Sendable: an address of memory in which every word is atomic or constant.
@frozen @safe @usableFromInline
struct ProbeSite: Hashable, @unchecked Sendable {
  @usableFromInline let base: UnsafeMutablePointer<ProbeSiteLine>

  init(base: UnsafeMutablePointer<ProbeSiteLine>) { unsafe self.base = unsafe base }

  /// Whether anything is attached: one load of a line that is written when that changes.
  @inlinable @inline(__always)
  var isAttached: Bool { unsafe base.pointee.list.load(ordering: .relaxed) != 0 }

  @usableFromInline
  static func == (left: ProbeSite, right: ProbeSite) -> Bool { unsafe left.base == right.base }

  @usableFromInline
  func hash(into hasher: inout Hasher) { unsafe hasher.combine(UInt(bitPattern: base)) }
}

/// What stands in a site's line.
@safe @usableFromInline
struct ProbeSiteLine: ~Copyable {
  /// The list of what is attached; 0 is nothing.
  @usableFromInline let list = SharedAddress(0)
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
  let base: UnsafeMutablePointer<UInt>

  init(base: UnsafeMutablePointer<UInt>) { unsafe self.base = unsafe base }

  /// A list of records; nil if there is none.
  static func make(_ records: [UnsafeMutablePointer<ProbeRecord>]) -> ProbeList? {
    if unsafe records.isEmpty { return nil }
    let base = unsafe UnsafeMutablePointer<UInt>.allocate(capacity: records.count + 1)
    unsafe base.initialize(to: UInt(records.count))
    for unsafe(index, record) in unsafe records.enumerated() {
      unsafe (base + (index + 1)).initialize(to: UInt(bitPattern: record))
    }
    return unsafe ProbeList(base: base)
  }

  /// A list of nothing, which hits find after the end.
  static func makeEmpty() -> ProbeList {
    let base = UnsafeMutablePointer<UInt>.allocate(capacity: 1)
    unsafe base.initialize(to: 0)
    return unsafe ProbeList(base: base)
  }

  @inline(__always)
  var count: Int { unsafe Int(bitPattern: base[0]) }

  @inline(__always)
  subscript(index: Int) -> UnsafeMutablePointer<ProbeRecord> {
    unsafe UnsafeMutablePointer(bitPattern: base[index &+ 1]).unsafelyUnwrapped
  }

  func deallocate() { unsafe base.deallocate() }
}

/// What hits share, as a trivially copyable handle round one address: constants, which live as long
/// as the process.
// Sendable: an address of constants, and of memory in which every word is atomic.
@safe @usableFromInline
struct ProbeCore: @unchecked Sendable {
  let base: UnsafeMutablePointer<ProbeShape>

  init(base: UnsafeMutablePointer<ProbeShape>) { unsafe self.base = unsafe base }
}

@safe
struct ProbeShape: ~Copyable {
  let sections: ProbeSections
  let counts: ProbeCounts
  /// Where return probes keep what an activation began with.
  let activations: PoolCore
  /// By the number of a probe the address of its record; 0 is none.
  let records: UnsafeMutablePointer<SharedAddress>
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
  let base: UnsafeMutablePointer<SharedWord>
  /// The words of a stripe.
  let words: Int

  static var stripes: Int { 64 }

  static func byteCount(words: Int) -> Int { stripes * words * 8 }

  init(base: UnsafeMutableRawPointer, words: Int) {
    unsafe self.base = base.assumingMemoryBound(to: SharedWord.self)
    self.words = words
  }

  /// Adds to a word in the calling thread's section, where nothing interrupts it that counts.
  @inline(__always)
  func add(_ number: UInt64, to word: Int, thread: Int) {
    if thread < Self.stripes {
      let cell = unsafe base + (thread &* words &+ word)
      unsafe cell.pointee.store(
        cell.pointee.load(ordering: .relaxed) &+ number, ordering: .relaxed)
    } else {
      unsafe (base + word).pointee.wrappingAdd(number, ordering: .relaxed)
    }
  }

  /// The sum over all threads.
  func sum(_ word: Int) -> UInt64 {
    (0..<Self.stripes).reduce(0) { sum, stripe in
      unsafe sum &+ base[stripe * words + word].load(ordering: .relaxed)
    }
  }

  /// Forgets a word that no thread counts in.
  func reset(_ word: Int) {
    for stripe in 0..<Self.stripes {
      let cell = unsafe base + (stripe * words + word)
      // Only where there is something: a store would make the page.
      if unsafe cell.pointee.load(ordering: .relaxed) != 0 {
        unsafe cell.pointee.store(0, ordering: .relaxed)
      }
    }
  }
}

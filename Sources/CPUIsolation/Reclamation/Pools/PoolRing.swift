// SPDX-License-Identifier: Apache-2.0

// Public: what is inlined into a pop or a push compares the thread, and a call would cost as much as
// all the rest.
public import CPlatform
public import Synchronization

/// What only the thread that works in a ring writes.
@usableFromInline
struct PoolOwnerLine: ~Copyable {
  /// The owner's copy of the bottom: reading a word after the locked instruction that wrote it
  /// stalls.
  @usableFromInline let bottom: SharedWord
  @usableFromInline let pops = SharedWord(0)
  @usableFromInline let pushes = SharedWord(0)
  @usableFromInline let misses = SharedWord(0)
  @usableFromInline let steals = SharedWord(0)
  /// Where the last theft succeeded: the next one begins there.
  @usableFromInline let victim = SharedWord(0)
  /// The kernel's number of the thread that works here; 0 is nobody. The one word here that others
  /// write, while nobody works here.
  @usableFromInline let thread = SharedWord(0)

  init(bottom: UInt64) { self.bottom = SharedWord(bottom) }
}

/// The ring of one thread: indices of free objects, pushed and popped at the bottom by the owner,
/// stolen at the top by everybody else.
///
///     top                      bottom
///      │ thieves: compare-exchange │ the owner
///      ▼                           ▼
///     [ 7 ][ 3 ][ 9 ][ 1 ][ 4 ][ . ][ . ]   position & mask is the cell
///
/// Both ends are positions of 64 bits: they outlive a thread that sleeps between two steps. The top
/// only rises. An entry is there when top ≤ position < bottom.
///
/// Four facts make it right; MemoryOrdering tells them label by label.
///
/// 1. **Whoever moves the top takes the entry**, by compare-exchange: one taker per position.
/// 2. **The owner takes above the top without a compare-exchange**: it lowers the bottom first and
///    then looks at the top. A thief looks at the top first and then at the bottom. If the owner's
///    look comes before a thief moved the top up to the entry, every thief that could reach the
///    entry afterwards sees the lowered bottom.
/// 3. **A stalled thief throws away what it read**: its cell may have been overwritten, but only
///    after the top has passed, since the ring has room for every object of the pool; then its
///    compare-exchange fails.
/// 4. **The last entry is taken like a thief takes it**, without lowering the bottom: one locked
///    instruction either way.
///
/// - Source: D. Chase and Y. Lev, "Dynamic Circular Work-Stealing Deque", SPAA 2005; the orderings
///   after N. M. Lê, A. Pop, A. Cohen and F. Zappa Nardelli, "Correct and Efficient Work-Stealing
///   for Weak Memory Models", PPoPP 2013. The kernel's `objpool` has one ring per processor and
///   rests on disabled interrupts.
// Sendable: an address of memory in which every word is atomic.
@frozen @safe @usableFromInline
struct PoolRing: @unchecked Sendable {
  @usableFromInline let base: Address

  @inlinable @inline(__always)
  init(base: Address) { self.base = base }

  /// No object.
  @inlinable @inline(__always)
  static var none: UInt32 { .max }

  /// The bytes of a ring of so many cells, a power of two.
  static func byteCount(cells: Int) -> Int {
    3 * cacheLineStride + (cells * 4 + cacheLineStride - 1) / cacheLineStride * cacheLineStride
  }

  @inlinable @inline(__always)
  var top: Place<SharedWord> {
    // Safety: the ring's memory begins with it, from initialisation on.
    unsafe Place(base)
  }

  @inlinable @inline(__always)
  var bottom: Place<SharedWord> {
    // Safety: as above; the map says where.
    unsafe Place(base + 128)
  }

  @inlinable @inline(__always)
  var owner: PoolOwnerLine {
    // Safety: as above.
    unsafeAddress { unsafe base.line(PoolOwnerLine.self, at: 256) }
  }

  @inlinable @inline(__always)
  func cell(_ position: UInt64, _ mask: UInt64) -> Place<SharedWord32> {
    // Safety: there are as many cells as the mask lets a position be.
    unsafe Table<SharedWord32>(base + 384).place(Int(truncatingIfNeeded: position & mask))
  }

  /// Puts zeroed memory into its first state: an empty ring of nobody.
  func initialize(at position: UInt64) {
    top.initialize(to: SharedWord(position))
    bottom.initialize(to: SharedWord(position))
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base + 256).initialize(to: PoolOwnerLine(bottom: position))
  }

  /// How many entries there are, at some moment.
  var count: Int {
    // Relaxed — a hint.
    let top = top.value.load(ordering: .relaxed)
    return max(0, Int(Int64(bitPattern: bottom.value.load(ordering: .relaxed) &- top)))
  }
}

// MARK: - The owner

extension PoolRing {
  /// Puts an object in. There is always room.
  ///
  /// Wait-free, without a locked instruction.
  @inlinable @inline(__always)
  func push<Faults: PoolFaults>(_ index: UInt32, _ mask: UInt64, _: Faults.Type) {
    Faults.reach(.pushBegins)
    let position = owner.bottom.load(ordering: .relaxed)
    cell(position, mask).value.store(index, ordering: .relaxed)
    Faults.reach(.entryWritten)
    // Release — pool:P. The entry, and all that was done to the object, come before the bottom that
    // shows it. Pairs with pool:B.
    bottom.value.store(position &+ 1, ordering: .releasing)
    Faults.reach(.pushPublished)
    owner.bottom.store(position &+ 1, ordering: .relaxed)
  }

  /// Takes the object that was pushed last; `none` if there is none.
  ///
  /// Wait-free, one locked instruction; none when the ring is empty.
  @inlinable @inline(__always)
  func pop<Faults: PoolFaults>(_ mask: UInt64, _: Faults.Type) -> UInt32 {
    Faults.reach(.popBegins)
    let last = owner.bottom.load(ordering: .relaxed) &- 1
    // Relaxed — the top only rises: seen too low it is looked at again, or the compare-exchange
    // fails.
    let below = Int64(bitPattern: last &- top.value.load(ordering: .relaxed))
    if below < 0 { return Self.none }
    if below == 0 { return popLast(last, mask, Faults.self) }
    owner.bottom.store(last, ordering: .relaxed)
    // Sequentially consistent — pool:E. The entry is withdrawn before we look at the top: a thief
    // that moves the top up to it later cannot see the old bottom after it. Pairs with pool:B.
    _ = bottom.value.exchange(last, ordering: .sequentiallyConsistent)
    Faults.reach(.bottomLowered)
    // Sequentially consistent — pool:L. After pool:E. If a thief's pool:S that leads to this entry
    // comes first, we see it; else every later look of a thief comes after pool:E. Pairs with
    // pool:S.
    let left = Int64(
      bitPattern: last &- top.value.load(ordering: .sequentiallyConsistent))
    Faults.reach(.topRead)
    if left > 0 { return cell(last, mask).value.load(ordering: .relaxed) }
    return popContended(last, left, mask, Faults.self)
  }

  /// The thieves have come up to the entry that was withdrawn.
  @inlinable @inline(never)
  func popContended<Faults: PoolFaults>(
    _ last: UInt64, _ left: Int64, _ mask: UInt64, _: Faults.Type
  ) -> UInt32 {
    let index = left == 0 ? popLast(last, mask, Faults.self) : Self.none
    // Relaxed — the ring is empty now, whoever took the entry: a thief that sees this value finds the
    // top at it, or fails.
    bottom.value.store(last &+ 1, ordering: .relaxed)
    owner.bottom.store(last &+ 1, ordering: .relaxed)
    return index
  }

  /// Takes the only entry, as a thief would.
  @inlinable @inline(__always)
  func popLast<Faults: PoolFaults>(_ last: UInt64, _ mask: UInt64, _: Faults.Type) -> UInt32 {
    let index = cell(last, mask).value.load(ordering: .relaxed)
    // Release — pool:C. Decides against pool:S. A thief that sees the new top sees every bottom that
    // was lowered before. Pairs with pool:T.
    let isOurs = top.value.compareExchange(
      expected: last, desired: last &+ 1, successOrdering: .releasing, failureOrdering: .relaxed
    ).exchanged
    Faults.reach(.lastClaimed)
    return isOurs ? index : Self.none
  }
}

// MARK: - Everybody else

extension PoolRing {
  /// Takes the oldest object out of a ring, somebody else's or nobody's; `none` if there is none.
  ///
  /// Lock-free: a round repeats only when somebody else has taken the entry.
  @inlinable @inline(__always)
  func steal<Faults: PoolFaults>(_ mask: UInt64, _: Faults.Type) -> UInt32 {
    while true {
      Faults.reach(.stealBegins)
      // Acquire — pool:T. The look at the top comes before the look at the bottom. Pairs with pool:C.
      let first = top.value.load(ordering: .acquiring)
      // Sequentially consistent — pool:B. What was done to the object is seen, and if this top was
      // reached after an owner's look, the bottom that it had lowered. Pairs with pool:P, pool:E.
      let bottom = bottom.value.load(ordering: .sequentiallyConsistent)
      Faults.reach(.bottomRead)
      if Int64(bitPattern: bottom &- first) <= 0 { return Self.none }
      // It may be overwritten while we read: then the top has passed.
      let index = cell(first, mask).value.load(ordering: .relaxed)
      Faults.reach(.entryRead)
      // Sequentially consistent — pool:S. Nobody else had the entry, so what we read was it; read
      // before the entry's cell can be used again. Pairs with pool:L.
      if top.value.compareExchange(
        expected: first, desired: first &+ 1, successOrdering: .sequentiallyConsistent,
        failureOrdering: .relaxed
      ).exchanged {
        Faults.reach(.stolen)
        return index
      }
    }
  }
}

// MARK: - Whose it is

extension PoolRing {
  /// The word that says whose the ring is: a thread's number, and above it how often the ring has
  /// changed hands, since threads' numbers are used again. 0 below is nobody.
  @inlinable @inline(__always)
  var holder: UInt64 {
    // Relaxed — a hint, until the word is claimed.
    owner.thread.load(ordering: .relaxed)
  }

  @inlinable @inline(__always)
  static func thread(of holder: UInt64) -> Int32 { Int32(truncatingIfNeeded: holder) }

  /// Ends the process if the calling thread does not work here.
  ///
  /// A registration cannot be copied, but it can travel: its thread may end then, and the ring have
  /// another owner.
  @inlinable @inline(__always)
  func requireOwner() {
    if Self.thread(of: holder) != cpi_noted_thread_id() { Self.refuseStranger() }
  }

  @usableFromInline @inline(never)
  static func refuseStranger() -> Never {
    misuse("a registration with a pool is used on another thread than it began on")
  }

  /// Makes a thread the ring's owner, if the word still is what was looked at: nobody, or a thread
  /// that is dead.
  func claim(as thread: Int32, after holder: UInt64) -> Bool {
    let mine = ((holder >> 32) &+ 1) << 32 | UInt64(UInt32(bitPattern: thread))
    // Acquire — pool:O. The former owner's last push comes before our first step. Pairs with pool:U.
    guard
      owner.thread.compareExchange(
        expected: holder, desired: mine, successOrdering: .acquiring, failureOrdering: .relaxed
      ).exchanged
    else { return false }
    let top = top.value.load(ordering: .relaxed)
    var position = bottom.value.load(ordering: .relaxed)
    if Self.thread(of: holder) != 0, Int64(bitPattern: position &- top) <= 0 {
      // The thread may have died with the bottom lowered to its last entry, which it took along or lost
      // to a thief; and a thief that has seen the old bottom may take it still. So the position is used
      // up: what we put there such a thief would have, or hide by moving the top past it.
      //
      // Release — pool:C, as above. Whoever has moved the top, it is after the entry now.
      _ = self.top.value.compareExchange(
        expected: position, desired: position &+ 1, successOrdering: .releasing,
        failureOrdering: .relaxed)
      position &+= 1
      bottom.value.store(position, ordering: .relaxed)
    }
    owner.bottom.store(position, ordering: .relaxed)
    return true
  }

  /// Leaves the ring to whoever comes next, with what is in it.
  func release() {
    // Release — pool:U. Our last push comes before the next owner's first step. Pairs with pool:O.
    owner.thread.store((holder >> 32) << 32, ordering: .releasing)
  }
}

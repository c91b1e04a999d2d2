// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What one sender counts for one target and one work type: a line that no other sender writes.
@usableFromInline
struct SenderCell: ~Copyable {
  /// Sends that neither `merged` nor `deferredInUser` counts: a send is counted in one of the three, so
  /// that the shortest path has one counter to write, and no signal comes between two.
  let sent = SharedWord(0)
  /// Sends that found their work pending.
  @usableFromInline let merged = SharedWord(0)
  /// Sends that set the bit of a CPU in user, and ended there.
  @usableFromInline let deferredInUser = SharedWord(0)
  /// The call site that last set the bit: a pointer to a string constant, and a line.
  @usableFromInline let file = SharedAddress(0)
  @usableFromInline let lineNumber = SharedWord(0)
  /// What became of those in `sent`, as far as the sender knows.
  let deferred = SharedWord(0)
  let queued = SharedWord(0)
  let interrupted = SharedWord(0)
  let ranInline = SharedWord(0)
  let ranOnBehalf = SharedWord(0)
  let skipped = SharedWord(0)
  let gone = SharedWord(0)
  /// Deferrals that the watchdog made run because they were too old: its own slot alone counts
  /// them.
  let escalated = SharedWord(0)

  init() {}

  @inlinable @inline(__always)
  borrowing func note(_ site: CallSite) {
    let place = unsafe UInt(bitPattern: site.file.utf8Start)
    let number = UInt64(truncatingIfNeeded: site.line)
    // A sender that goes on sending from one place writes nothing: stores beside locked instructions cost
    // more than looks.
    if file.load(ordering: .relaxed) == place, lineNumber.load(ordering: .relaxed) == number {
      return
    }
    file.store(place, ordering: .relaxed)
    lineNumber.store(number, ordering: .relaxed)
  }
}

/// A sender's memory: one cell per target and work type, and one call record per target.
///
///     offset 0    SenderLine   the flags of `SenderFlags`
///            128  records      one CallRecord per target, a line each
///                 cells        64 for each target, a line each, of which a type has that of its number
///                              with the target's low bits turned round: what a masked send counts in
///                              one after the other lies in 32 sets of the first cache, not in one
///                 broadcasts   type × target, a word each: sends that wrote nothing to the target
// Sendable: an address of memory in which every word is atomic.
@frozen @safe @usableFromInline
struct SenderSlot: @unchecked Sendable {
  @usableFromInline let base: Address
  @usableFromInline let cells: Address

  /// The slot of this memory, for a coordinator of `cpus`.
  init(base: Address, cpus: Int) {
    self.base = base
    self.cells = base + 128 + cpus * 128
  }

  static func byteCount(cpus: Int) -> Int {
    128 + cpus * 128 + cpus * Limits.workTypes * (128 + 8)
  }

  @inlinable @inline(__always)
  func cell(target: Int, type: UInt64) -> Place<SenderCell> {
    // Safety: there is a cell for each target and type.
    unsafe Place(cells + (target &<< 6 &+ (Int(truncatingIfNeeded: type) ^ target & 63)) &<< 7)
  }

  func record(target: Int) -> Place<CallRecord> {
    // Safety: there is a record for each target.
    unsafe Place(base + 128 + target * 128)
  }

  func broadcasts(ofType type: UInt64, cpus: Int) -> Table<SharedWord> {
    // Safety: after the cells there is a word for each type and target.
    unsafe Table<SharedWord>(cells + cpus * Limits.workTypes * 128 + Int(type) * cpus * 8)
  }

  @inlinable @inline(__always)
  var flags: Place<SharedWord> {
    // Safety: the memory begins with the word.
    unsafe Place(base)
  }

  /// Marks the memory, which is zeroed: zero is the first state of every cell and record, and pages
  /// that are never used are never touched.
  func initialize(isShared: Bool) {
    flags.initialize(to: SharedWord(isShared ? SenderFlags.shared : 0))
  }

  /// Whether it may have counted something.
  var isUsed: Bool { flags.value.load(ordering: .relaxed) & SenderFlags.unused == 0 }
}

/// What keeps a sender off the shortest path.
enum SenderFlags {
  /// Several threads count here, so that counting has to be atomic.
  static let shared: UInt64 = 1
  /// Sends are recorded.
  static let traced: UInt64 = 2
  /// It has counted nothing yet: statistics pass over its cells. Its first count takes this away, which
  /// stands on no shortest path, since these are taken by senders without flags alone.
  static let unused: UInt64 = 4
}

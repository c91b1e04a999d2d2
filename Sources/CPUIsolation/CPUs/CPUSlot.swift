// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A CPU's memory: a trivially copyable handle round one address.
///
///     offset    0  StateLine    W, K, pin, incarnation: senders and the owner
///             128  CallLine     cross calls and sleep
///             256  OwnerLine    the owner alone
///             384  tables       one word per work type: applied, executed, dropped, generation at attach, pending
///                               since, catch-up runs, payload
///            3968  ages         eight buckets per work type
///            8064  copies       of what housekeepers change rarely, for the CPU alone: two parts
///           17280  the next CPU: an odd number of lines further, so that the state lines of many CPUs do not all
///                  fall into one set of a sender's cache
// Sendable: an address of memory in which every shared word is atomic.
@frozen @safe @usableFromInline
struct CPUSlot: Hashable, @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  @inlinable @inline(__always)
  init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  @inlinable
  static func == (left: CPUSlot, right: CPUSlot) -> Bool { unsafe left.base == right.base }

  @inlinable
  func hash(into hasher: inout Hasher) { unsafe hasher.combine(UInt(bitPattern: base)) }

  @usableFromInline static var stride: Int { copiesOffset + 2 * copyBytes }
  private static let tablesOffset = 3 * 128
  private static let tableCount = 7
  private static let tableBytes = Limits.workTypes * 8
  static let ageBuckets = 8
  /// The copies of one part: 512 words, and a stamp for each group of eight.
  static let copyBytes = (512 + 64) * 8
  private static let copiesOffset = 8064
  private static let ageBytes = Limits.workTypes * ageBuckets * 8

  @inlinable @inline(__always)
  var state: UnsafeMutablePointer<StateLine> {
    unsafe base.assumingMemoryBound(to: StateLine.self)
  }

  @inlinable @inline(__always)
  var owner: UnsafeMutablePointer<OwnerLine> {
    unsafe (base + 256).assumingMemoryBound(to: OwnerLine.self)
  }

  var call: UnsafeMutablePointer<CallLine> {
    unsafe (base + 128).assumingMemoryBound(to: CallLine.self)
  }

  private func table(_ index: Int) -> UnsafeMutablePointer<SharedWord> {
    unsafe (base + Self.tablesOffset + index * Self.tableBytes).assumingMemoryBound(
      to: SharedWord.self)
  }

  /// Per type, the generation that has been run: written by whoever drains.
  var applied: UnsafeMutablePointer<SharedWord> { unsafe table(0) }
  /// Per type, how often the handler ran for a set bit: written by whoever drains.
  var executed: UnsafeMutablePointer<SharedWord> { unsafe table(1) }
  /// Per type, bits that were taken and not run: withdrawn, of a former incarnation, or of an
  /// unregistered type.
  var dropped: UnsafeMutablePointer<SharedWord> { unsafe table(2) }
  /// Per type, the generation when the current thread attached: tickets up to it belong to someone
  /// who has gone.
  var attachGeneration: UnsafeMutablePointer<SharedWord> { unsafe table(3) }
  /// Per type, the coarse time at which the watchdog first saw the bit pending; 0 is not seen.
  var pendingSince: UnsafeMutablePointer<SharedWord> { unsafe table(4) }

  /// Per type, how often the handler ran because the CPU lagged behind a generation: written by
  /// whoever drains.
  var catchUps: UnsafeMutablePointer<SharedWord> { unsafe table(5) }
  /// Per type, what senders have merged and nobody has taken yet; 0 is nothing.
  var payloads: UnsafeMutablePointer<SharedWord> { unsafe table(6) }

  /// The copies of a part: at the same distance from every slot of every coordinator, so that no
  /// mistake leads out of the slot's memory.
  func copies(ofPart part: Int) -> UnsafeMutablePointer<SharedWord> {
    unsafe (base + Self.copiesOffset + part * Self.copyBytes).assumingMemoryBound(
      to: SharedWord.self)
  }

  /// The age histogram of a type: `ageBuckets` counters.
  func ages(ofType type: Int) -> UnsafeMutablePointer<SharedWord> {
    unsafe (base + Self.tablesOffset + Self.tableCount * Self.tableBytes + type * Self.ageBuckets
      * 8)
      .assumingMemoryBound(to: SharedWord.self)
  }

  /// Puts the slot's memory into its first state: offline and empty. The memory is zeroed.
  func initialize() {
    unsafe state.initialize(to: StateLine())
    unsafe call.initialize(to: CallLine())
    unsafe owner.initialize(to: OwnerLine())
    let words = Self.tableCount * Limits.workTypes + Limits.workTypes * Self.ageBuckets
    for index in 0..<words { unsafe (table(0) + index).initialize(to: SharedWord(0)) }
  }
}

/// All CPUs of a coordinator: the base address and how many.
// Sendable: as CPUSlot.
@frozen @safe @usableFromInline
struct CPUSlots: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline let count: Int

  @inlinable @inline(__always)
  init(base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = unsafe base
    self.count = count
  }

  @inlinable @inline(__always)
  subscript(cpu: Int) -> CPUSlot {
    unsafe CPUSlot(base: base + cpu &* 17280)
  }
}

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
  @usableFromInline let base: Address

  @inlinable @inline(__always)
  init(base: Address) { self.base = base }

  @inlinable
  static func == (left: CPUSlot, right: CPUSlot) -> Bool { left.base == right.base }

  @inlinable
  func hash(into hasher: inout Hasher) { hasher.combine(base) }

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
  var state: StateLine {
    // Safety: `initialize` put the line there, at the beginning of the slot's memory.
    unsafeAddress { unsafe base.line(StateLine.self, at: 0) }
  }

  @inlinable @inline(__always)
  var owner: OwnerLine {
    // Safety: as above; the map of the slot says where.
    unsafeAddress { unsafe base.line(OwnerLine.self, at: 256) }
  }

  var call: CallLine {
    // Safety: as above.
    unsafeAddress { unsafe base.line(CallLine.self, at: 128) }
  }

  private func table(_ index: Int) -> Table<SharedWord> {
    words(at: Self.tablesOffset + index * Self.tableBytes)
  }

  private func words(at offset: Int) -> Table<SharedWord> {
    // Safety: the offset is that of a table, whose words `initialize` put there.
    unsafe Table<SharedWord>(base + offset)
  }

  /// Per type, the generation that has been run: written by whoever drains.
  var applied: Table<SharedWord> { table(0) }
  /// Per type, how often the handler ran for a set bit: written by whoever drains.
  var executed: Table<SharedWord> { table(1) }
  /// Per type, bits that were taken and not run: withdrawn, of a former incarnation, or of an
  /// unregistered type.
  var dropped: Table<SharedWord> { table(2) }
  /// Per type, the generation when the current thread attached: tickets up to it belong to someone
  /// who has gone.
  var attachGeneration: Table<SharedWord> { table(3) }
  /// Per type, the coarse time at which the watchdog first saw the bit pending; 0 is not seen.
  var pendingSince: Table<SharedWord> { table(4) }

  /// Per type, how often the handler ran because the CPU lagged after a generation: written by
  /// whoever drains.
  var catchUps: Table<SharedWord> { table(5) }
  /// Per type, what senders have merged and nobody has taken yet; 0 is nothing.
  var payloads: Table<SharedWord> { table(6) }

  /// The copies of a part: at the same distance from every slot of every coordinator, so that no
  /// mistake leads out of the slot's memory.
  func copies(ofPart part: Int) -> Table<SharedWord> {
    words(at: Self.copiesOffset + part * Self.copyBytes)
  }

  /// The age histogram of a type: `ageBuckets` counters.
  func ages(ofType type: Int) -> Table<SharedWord> {
    words(
      at: Self.tablesOffset + Self.tableCount * Self.tableBytes + type * Self.ageBuckets * 8)
  }

  /// Puts the slot's memory into its first state: offline and empty. The memory is zeroed, which is the
  /// first state of all tables: pages that are never used are never touched.
  func initialize() {
    // Safety: the slot's memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(to: StateLine())
    unsafe Place(base + 128).initialize(to: CallLine())
    unsafe Place(base + 256).initialize(to: OwnerLine())
  }
}

/// All CPUs of a coordinator: the base address and how many.
// Sendable: as CPUSlot.
@frozen @safe @usableFromInline
struct CPUSlots: @unchecked Sendable {
  @usableFromInline let base: Address
  @usableFromInline let count: Int

  @inlinable @inline(__always)
  init(base: Address, count: Int) {
    self.base = base
    self.count = count
  }

  @inlinable @inline(__always)
  subscript(cpu: Int) -> CPUSlot {
    CPUSlot(base: base + cpu &* 17280)
  }
}

extension CurrentThread {
  /// The slot of the CPU that the calling thread is.
  static var slot: CPUSlot? {
    // Safety: what is bound to a thread is a slot, until the thread detaches.
    cpu.map { CPUSlot(base: $0) }
  }

  static func isThread(of slot: CPUSlot) -> Bool { cpu == slot.base }
}

// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The C function that a work type runs: its context and the number of the CPU whose work it is.
public typealias DeferredWorkFunction = @convention(c) (UnsafeMutableRawPointer?, Int) -> Void

/// What the hot paths know of a work type: a line of its own.
@safe @usableFromInline
struct WorkRecord: ~Copyable {
  /// The number of the registration, unique in the process; 0 while nobody may send.
  @usableFromInline let registration = SharedWord(0)
  /// Written before `live` says that the type is, and again only after a grace period without it.
  var function: DeferredWorkFunction?
  var context: UnsafeMutableRawPointer?

  init() {
    unsafe function = nil
    unsafe context = nil
  }
}

/// What all CPUs of a coordinator share and hardly ever write.
@safe @usableFromInline
struct CoreLine: ~Copyable {
  @usableFromInline let slots: CPUSlots
  /// `workTypeCapacity` records, `cacheLineStride` apart.
  @usableFromInline let records: UnsafeMutableRawPointer
  /// `workTypeCapacity` generations, `cacheLineStride` apart: ticketed senders write them.
  let generations: UnsafeMutableRawPointer
  /// The types whose handlers may run.
  let live = SharedWord(0)
  /// The types that run before and after the others.
  let early = SharedWord(0)
  let late = SharedWord(0)
  /// The types that may run in the signal handler, and those that a helper may run.
  let interruptSafe = SharedWord(0)
  let onBehalf = SharedWord(0)
  /// 1 when nothing can be sent any more.
  let closed = SharedWord(0)
  /// 1 when drains are timed.
  let timesDrains = SharedWord(0)

  init(slots: CPUSlots, records: UnsafeMutableRawPointer, generations: UnsafeMutableRawPointer) {
    self.slots = slots
    unsafe self.records = unsafe records
    unsafe self.generations = unsafe generations
  }
}

/// A coordinator's memory, as a trivially copyable handle round one address: no reference counts on hot paths.
// Sendable: an address of memory in which every word is atomic, constant, or written before an atomic publishes it.
@frozen @safe @usableFromInline
struct CoordinatorCore: Equatable, @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  @usableFromInline
  init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  @inlinable @inline(__always)
  var line: UnsafeMutablePointer<CoreLine> { unsafe base.assumingMemoryBound(to: CoreLine.self) }

  /// The coarse clock in monotonic nanoseconds, ticked by the watchdog: a line of its own, since it changes.
  var clock: UnsafeMutablePointer<SharedWord> {
    unsafe (base + 2 * cacheLineStride).assumingMemoryBound(to: SharedWord.self)
  }

  @inlinable @inline(__always)
  func record(_ type: UInt64) -> UnsafeMutablePointer<WorkRecord> {
    unsafe (line.pointee.records + Int(truncatingIfNeeded: type &<< 7))
      .assumingMemoryBound(to: WorkRecord.self)
  }

  func generation(_ type: UInt64) -> UnsafeMutablePointer<SharedWord> {
    unsafe (line.pointee.generations + Int(truncatingIfNeeded: type &<< 7))
      .assumingMemoryBound(to: SharedWord.self)
  }

  private static let headerBytes = 3 * 128
  private static let tableBytes = workTypeCapacity * 128

  /// How much memory a coordinator of so many CPUs takes.
  static func byteCount(cpus: Int) -> Int { headerBytes + 2 * tableBytes + cpus * CPUSlot.stride }

  /// Lays the coordinator out in zeroed memory.
  init(initializing base: UnsafeMutableRawPointer, cpus: Int) {
    unsafe self.base = unsafe base
    let records = unsafe base + Self.headerBytes
    let generations = unsafe records + Self.tableBytes
    let slots = unsafe CPUSlots(base: generations + Self.tableBytes, count: cpus)
    unsafe line.initialize(to: CoreLine(slots: slots, records: records, generations: generations))
    unsafe clock.initialize(to: SharedWord(0))
    for type in 0..<UInt64(workTypeCapacity) {
      unsafe record(type).initialize(to: WorkRecord())
      unsafe generation(type).initialize(to: SharedWord(0))
    }
    for cpu in 0..<cpus {
      let slot = slots[cpu]
      slot.initialize()
      unsafe slot.owner.pointee.core.store(UInt(bitPattern: base), ordering: .relaxed)
      unsafe slot.owner.pointee.number.store(UInt64(cpu), ordering: .relaxed)
    }
  }

  @inlinable @inline(__always)
  var slots: CPUSlots { unsafe line.pointee.slots }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

extension WorkType {
  /// The C function of a work type that is told more: its context, the number of the CPU, and the
  /// gap of a catch-up type, the payload of a merging one, or 1.
  public typealias PayloadFunction =
    @convention(c) (UnsafeMutableRawPointer?, Int, UInt64) -> Void
}

/// What the hot paths know of a work type: a line of its own.
@usableFromInline
struct WorkRecord: ~Copyable {
  /// The number of the registration, unique in the process; 0 while nobody may send.
  @usableFromInline let registration = SharedWord(0)
  /// Written before `live` says that the type is, and again only after a grace period without it.
  var handler = WorkHandler.none
  /// How the type is delivered: written and read as the handler is.
  var form = WorkForm.bit

  init() {}
}

/// What all CPUs of a coordinator share and hardly ever write.
@safe @usableFromInline
struct CoreLine: ~Copyable {
  /// How many CPUs there are.
  @usableFromInline let count: Int
  /// The types whose handlers may run.
  let live = SharedWord(0)
  /// The types that run before and after the others.
  let early = SharedWord(0)
  let late = SharedWord(0)
  /// The types that may run in the signal handler, and those that a helper may run.
  let interruptSafe = SharedWord(0)
  let onBehalf = SharedWord(0)
  /// The types that are delivered by generation.
  let catchUp = SharedWord(0)
  /// 1 when nothing can be sent any more.
  let closed = SharedWord(0)
  /// What drains do besides: the flags of `DrainFlags`.
  let drainFlags = SharedWord(0)
  /// The events that are recorded, a bit each.
  let traced = SharedWord(0)
  /// The address of the trace's memory.
  let trace = SharedAddress(0)
  /// The address of the coordinator, for handles that have this memory alone.
  let coordinator = SharedAddress(0)
  /// In which process this was made, counting forks.
  let forks = cpi_fork_generation()

  init(count: Int) { self.count = count }
}

/// What a drain does besides running handlers.
enum DrainFlags {
  static let times: UInt64 = 1
  static let traces: UInt64 = 2
}

/// A coordinator's memory, as a trivially copyable handle round one address: no reference counts on
/// hot paths.
///
///     offset     0  CoreLine     what hardly ever changes
///              256  clock        the coarse clock: it changes all the time
///              384  summary      the generation of all catch-up types together: entries look at it
///              512  records      per work type a line: registration, function, context
///             8704  generations  per work type a line: ticketed and catch-up senders write them
///            16896  slots        the CPUs; where a number is no CPU, memory that nobody touches
///                   there        a bit for each number: whether it is a CPU
///
/// Every part stands at a constant distance: a drain sits between locked instructions, where each
/// dependent load costs its full latency.
// Sendable: an address of memory in which every word is atomic, constant, or written before an
// atomic publishes it.
@frozen @safe @usableFromInline
struct CoordinatorCore: Hashable, @unchecked Sendable {
  @usableFromInline let base: Address

  @usableFromInline
  init(base: Address) { self.base = base }

  @inlinable
  static func == (left: CoordinatorCore, right: CoordinatorCore) -> Bool {
    left.base == right.base
  }

  @inlinable
  func hash(into hasher: inout Hasher) { hasher.combine(base) }

  @inlinable @inline(__always)
  var line: CoreLine {
    // Safety: the memory begins with the line, from initialisation on.
    unsafeAddress { unsafe base.line(CoreLine.self, at: 0) }
  }

  /// The coarse clock in monotonic nanoseconds, ticked by the watchdog: a line of its own, since it
  /// changes.
  /// `line.traced`, for tracepoints to keep.
  var traced: Place<SharedWord> {
    // Safety: as above; a word of the line does not move.
    unsafe withUnsafePointer(to: line.traced) { unsafe Place(UnsafeMutablePointer(mutating: $0)) }
  }

  // Safety: as above; the map says where.
  var clock: Place<SharedWord> { unsafe Place(base + 2 * cacheLineStride) }

  /// Moves whenever the generation of a catch-up type has moved: the one word that an entry compares.
  @inlinable @inline(__always)
  var summary: Place<SharedWord> {
    // Safety: as above.
    unsafe Place(base + 384)
  }

  @inlinable @inline(__always)
  var records: LineTable<WorkRecord> {
    // Safety: as above; there is one for each type.
    unsafe LineTable(base + Self.recordsOffset)
  }

  var generations: LineTable<SharedWord> {
    // Safety: as above; there is one for each type.
    unsafe LineTable(base + Self.generationsOffset)
  }

  @inlinable @inline(__always)
  static var recordsOffset: Int { 4 * 128 }
  @inlinable @inline(__always)
  static var generationsOffset: Int { recordsOffset + 64 * 128 }
  @inlinable @inline(__always)
  static var slotsOffset: Int { generationsOffset + 64 * 128 }

  /// How much memory a coordinator of so many CPUs takes.
  static func byteCount(cpus: Int) -> Int {
    slotsOffset + cpus * CPUSlot.stride + (cpus + 63) / 64 * 8
  }

  /// Lays the coordinator out in zeroed memory: numbers below `cpus`, of which `existing` are CPUs, or
  /// all.
  init(initializing base: Address, cpus: Int, existing: CPUMask? = nil) {
    self.base = base
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(to: CoreLine(count: cpus))
    clock.initialize(to: SharedWord(0))
    summary.initialize(to: SharedWord(0))
    for type in 0..<UInt64(Limits.workTypes) {
      records.place(type).initialize(to: WorkRecord())
      generations.place(type).initialize(to: SharedWord(0))
    }
    for cpu in existing ?? CPUMask(0..<cpus) {
      there[cpu / 64] |= 1 << UInt64(cpu % 64)
      let slot = slots[cpu]
      slot.initialize()
      slot.owner.core.store(base.bits, ordering: .relaxed)
      slot.owner.number.store(UInt64(cpu), ordering: .relaxed)
    }
  }

  /// The CPUs that there are.
  var cpus: CPUMask {
    CPUMask((0..<slots.count).filter(isCPU))
  }

  /// Whether a number below the count is that of a CPU.
  func isCPU(_ cpu: Int) -> Bool { there[cpu / 64] >> UInt64(cpu % 64) & 1 != 0 }

  private var there: Table<UInt64> {
    // Safety: the words follow the slots, and are constant from initialisation on.
    unsafe Table(base + Self.slotsOffset + line.count * CPUSlot.stride)
  }

  /// Whether nothing can be sent any more.
  var isClosed: Bool { line.closed.load(ordering: .relaxed) != 0 }

  /// Whether this is the child of a fork, in which the CPUs have no threads.
  var isForked: Bool { line.forks != cpi_fork_generation() }

  func requireCPU(_ cpu: Int, _ site: CallSite) {
    guard cpu >= 0, cpu < slots.count, isCPU(cpu) else { refuseCPU(cpu, site) }
  }

  func refuseCPU(_ cpu: Int, _ site: CallSite) -> Never {
    misuse("there is no CPU \(cpu): this coordinator has CPUs \(cpus)", site.file, site.line)
  }

  @inlinable @inline(__always)
  var slots: CPUSlots {
    // Safety: the slots follow the tables.
    CPUSlots(base: base + Self.slotsOffset, count: line.count)
  }
}

// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// How many work types there are, the built-in ones included: one bit each in a CPU's work word.
@usableFromInline let workTypeCapacity = 64

#if ModelChecking
  // Only the type whose tickets and payloads the scenarios use: every word more is a place to switch.
  let ticketedTypes = 1
#else
  /// How many types may have tickets and payloads.
  let ticketedTypes = workTypeCapacity
#endif

/// The bits of a work word that are the library's own.
@usableFromInline
enum BuiltInWork {
  /// Cross calls that may run at once, in an interrupt too.
  @usableFromInline static let calls: UInt64 = 61
  /// Cross calls that wait for a safe point of a CPU whose interrupter is the signal.
  @usableFromInline static let patientCalls: UInt64 = 62
  /// The CPU is asked to look at once: set with every kick, looked at by `poll`, taken with the
  /// work.
  @usableFromInline static let attention: UInt64 = 63

  @usableFromInline static let count = 3

  @inlinable @inline(__always)
  static var attentionMask: UInt64 { 1 << 63 }
  @inlinable @inline(__always)
  static var mask: UInt64 { 7 << 61 }
}

/// What senders and the owner share: one line, one transfer per send.
@usableFromInline
struct StateLine: ~Copyable {
  /// W, the state word. Only the owner writes it.
  @usableFromInline let word = SharedWord(ContextWord.offline.rawValue)
  /// K, the work word. Anyone sets bits, takers clear them.
  @usableFromInline let work = SharedWord(0)
  /// The try-lock of whoever runs this CPU's work on its behalf: 0, or the helper's thread id.
  @usableFromInline let pin = SharedWord(0)
  /// 1 from the beginning of an attachment to the end of the detachment: wider than W's "not
  /// offline", since a thread still has things to do after it has published offline.
  @usableFromInline let isOwned = SharedWord(0)
  /// 1 for a number that the coordinator has no CPU of.
  @usableFromInline let isGap = SharedWord(0)
  /// How many threads have attached to the slot so far; 0 is nobody ever.
  @usableFromInline let incarnation = SharedWord(0)
  /// The thread to signal, the way to reach it and its role: constant while a thread is attached.
  @usableFromInline let reach = SharedWord(0)

  init() {}
}

/// Cross calls and sleep.
@usableFromInline
struct CallLine: ~Copyable {
  let calls = IntrusiveStack()
  let patientCalls = IntrusiveStack()
  let parker = Parker()

  init() {}
}

/// What only the owner writes, and its own signal handler.
@usableFromInline
struct OwnerLine: ~Copyable {
  /// The owner's copy of W: reading W itself behind the locked instruction that wrote it costs 3.5
  /// ns.
  @usableFromInline let word = SharedWord(ContextWord.offline.rawValue)
  /// Non-zero when a transition has to take the slow path: the flags of `OwnerFlags`, and above
  /// them the depth of nested kernel sections.
  @usableFromInline let special = SharedWord(0)
  /// Signals that found nothing to do, or a thread that would look by itself.
  let idleInterrupts = SharedWord(0)
  /// The summary of the catch-up types that this CPU has caught up with.
  @usableFromInline let caughtUp = SharedWord(0)
  /// The transitions that are recorded, for the slow paths to look at. The one word here that
  /// others write: it changes when somebody begins or ends a trace.
  @usableFromInline let traced = SharedWord(0)
  /// The longest measured drain, in cycles.
  let longestDrain = SharedWord(0)
  /// Declared quiescent states: two steps of W's counter each.
  let quiescentStates = SharedWord(0)
  /// W's counter when the current incarnation attached.
  @usableFromInline let counterAtAttach = SharedWord(0)
  /// The coordinator's memory and this CPU's number: what a signal handler cannot be passed.
  let core = SharedAddress(0)
  /// The sender slot of the thread that is attached.
  let sender = SharedAddress(0)
  @usableFromInline let number = SharedWord(0)

  init() {}
}

/// The flags of `OwnerLine.special`.
@usableFromInline
enum OwnerFlags {
  /// A drain runs: this is early entry, and a signal handler keeps out.
  @usableFromInline static let draining: UInt64 = 1 << 0
  /// User sections are declared to RealtimeSanitizer.
  @usableFromInline static let sanitized: UInt64 = 1 << 1
  /// A signal handler made the transition.
  @usableFromInline static let interrupted: UInt64 = 1 << 2
  /// Cross calls run.
  @usableFromInline static let calling: UInt64 = 1 << 3
  /// A handler or a cross call runs: waiting is refused.
  @usableFromInline static let inHandler: UInt64 = draining | calling
  /// One level of nested kernel sections.
  @usableFromInline static let depth: UInt64 = 1 << 8
  @usableFromInline static let depthMask: UInt64 = 0xffff_ffff << 8

  /// What runs now, for the watchdog: a work type, or the cross calls.
  static func running(_ type: UInt64) -> UInt64 { (type + 1) << 48 }
  /// The type that runs according to these flags.
  static func runningType(_ special: UInt64) -> Int? {
    special >> 48 == 0 ? nil : Int(special >> 48) - 1
  }
}

/// The way a CPU is told that something cannot wait, packed into `StateLine.reach`.
struct Reach {
  var threadID: Int32
  var interrupter: Interruption
  var isHousekeeping: Bool
  var signal: Int32

  /// How a kick travels; the public face is `Interrupter`.
  enum Interruption: UInt8 {
    case park, poll, signal
  }

  init(threadID: Int32, interrupter: Interruption, isHousekeeping: Bool, signal: Int32) {
    self.threadID = threadID
    self.interrupter = interrupter
    self.isHousekeeping = isHousekeeping
    self.signal = signal
  }

  init(rawValue: UInt64) {
    threadID = Int32(truncatingIfNeeded: rawValue)
    interrupter = Interruption(rawValue: UInt8(truncatingIfNeeded: rawValue >> 32)) ?? .poll
    isHousekeeping = rawValue >> 40 & 1 != 0
    signal = Int32(truncatingIfNeeded: rawValue >> 48)
  }

  var rawValue: UInt64 {
    UInt64(UInt32(bitPattern: threadID)) | UInt64(interrupter.rawValue) << 32
      | (isHousekeeping ? 1 << 40 : 0) | UInt64(UInt16(truncatingIfNeeded: signal)) << 48
  }
}

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
  private static let tableBytes = workTypeCapacity * 8
  static let ageBuckets = 8
  /// The copies of one part: 512 words, and a stamp for each group of eight.
  static let copyBytes = (512 + 64) * 8
  private static let copiesOffset = 8064
  private static let ageBytes = workTypeCapacity * ageBuckets * 8

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
    let words = Self.tableCount * workTypeCapacity + workTypeCapacity * Self.ageBuckets
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

// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What only the owner writes, and its own signal handler.
@usableFromInline
struct OwnerLine: ~Copyable {
  /// The owner's copy of W: reading W itself after the locked instruction that wrote it costs 1.4 to
  /// 3.5 ns.
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
  @usableFromInline let quiescentStates = SharedWord(0)
  /// W's counter when the current incarnation attached.
  @usableFromInline let counterAtAttach = SharedWord(0)
  /// The coordinator's memory and this CPU's number: what a signal handler cannot be passed.
  let core = SharedAddress(0)
  /// The sender slot of the thread that is attached.
  let sender = SharedAddress(0)
  @usableFromInline let number = SharedWord(0)
  /// What keeps the coordinator while a thread is attached: a reference, or 0.
  let keeper = SharedAddress(0)
  /// The cross call that runs, with a `CallKind` in its low bits; 0 is none. For the end of a thread
  /// inside it.
  let servedCall = SharedAddress(0)
  /// The calls that were taken with it and have not run yet.
  let unservedCalls = SharedAddress(0)
  /// The bits that a drain of several, or of one without an entry, has taken and not run, above them
  /// `OwnerFlags.hand`; 0 where none is on. For the end of a thread inside a handler.
  let inHand = SharedWord(0)

  init() {}
}

/// The flags of `OwnerLine.special`.
@usableFromInline
enum OwnerFlags {
  /// A drain runs: this is early entry, and a signal handler keeps out.
  @inlinable @inline(__always)
  static var draining: UInt64 { 1 << 0 }
  /// User sections are declared to RealtimeSanitizer.
  @usableFromInline static let sanitized: UInt64 = 1 << 1
  /// A signal handler made the transition.
  @usableFromInline static let interrupted: UInt64 = 1 << 2
  /// Cross calls run.
  @usableFromInline static let calling: UInt64 = 1 << 3
  /// A handler or a cross call runs: waiting is refused.
  @usableFromInline static let inHandler: UInt64 = 1 << 0 | calling
  /// Of `inHand`: it is known. No work type is so high.
  static let hand: UInt64 = 1 << 63
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

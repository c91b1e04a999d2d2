// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A switch that is read all the time and hardly ever turned: each CPU reads a copy of its own,
/// which it turns in its drain.
///
///     let keys = try StaticKeys(coordinator)
///     let sampling = try keys.makeKey("sampling")
///     …
///     cpu.inUser {
///       while running {
///         step()
///         if sampling.isEnabled(on: cpu) { sample() }  // one load and a branch, of its own line
///       }
///     }
///     …
///     try keys.enable(sampling)  // no CPU in user was disturbed
///
/// Within one user section a key never changes; in kernel it changes at safe points alone, which
/// self-sends and waits are too. When `enable` has returned, no CPU finds the key off after its
/// next entry. A key that is `neverDeferred` keeps none of this: it interrupts, and may be read
/// anywhere.
///
/// Do not use it for what has to be seen at once (an atomic), or for what is turned as often as it is
/// read.
///
/// After Linux's static keys (`kernel/jump_label.c`), with words in place of instructions.
///
/// - Progress: wait-free to read
/// - Context: any thread
/// - Allocates: never
@frozen
public struct StaticKey: Hashable, Sendable {
  /// From a CPU's slot to its copy.
  @usableFromInline let distance: UInt
  @usableFromInline let core: CoordinatorCore
  /// Twice the index in its table, and 1 for a key that is never deferred: in one word, since what
  /// has more than three is passed in memory, and its words are loaded again at every read.
  @usableFromInline let tag: UInt

  var index: Int { Int(tag >> 1) }

  /// Whether turning it interrupts every CPU, so that it may be read inside handlers.
  @inlinable
  public var isNeverDeferred: Bool { tag & 1 != 0 }

  init(distance: UInt, core: CoordinatorCore, index: Int, isNeverDeferred: Bool) {
    self.distance = distance
    self.core = core
    tag = UInt(index) << 1 | (isNeverDeferred ? 1 : 0)
  }

  /// What became of a change.
  public enum Outcome: Hashable, Sendable {
    /// The key was turned: every CPU was reached.
    case flipped
    /// The key stays as it is: it had other users, or has some left.
    case counted
    /// Nothing was changed: the key would have had more users than it can count, 2³¹ − 1.
    case overflowed
  }

  /// Whether the key is on for this CPU: one load of a line that only this CPU writes.
  ///
  ///     if sampling.isEnabled(on: cpu) { sample() }
  ///
  /// A ``LocalCPU`` cannot be had inside a handler, so this needs no check for that.
  ///
  /// - Parameters:
  ///   - cpu: the calling thread's CPU.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what the CPU's last drain found; it stays so until its next one.
  /// - Progress: wait-free
  /// - Context: owner, in user or kernel, outside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func isEnabled(
    on cpu: borrowing LocalCPU, file: StaticString = #fileID, line: UInt = #line
  ) -> Bool {
    let word = value(on: cpu.slot)
    // Loaded first, and one branch for both: a key of another coordinator reads a copy of this one.
    let isForeign =
      cpu.path.core.base.bits ^ core.base.bits
    if word | UInt64(isForeign) == 0 { return false }
    if isForeign != 0 { PatchDiagnosis.foreign("a static key", file, line) }
    return true
  }

  /// Whether the key is on for this CPU, for code that has a handle: it looks, besides, whether
  /// this is the CPU's thread, and whether it is inside a handler.
  ///
  /// On another thread, which may be one that works on the CPU's behalf, inside a handler, where the
  /// CPU has not caught up, and in an interrupt, this ends the process with a sentence, unless the
  /// key is never deferred.
  ///
  /// - Parameters:
  ///   - cpu: a handle of the calling thread's CPU.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what the CPU's last drain found; it stays so until its next one.
  /// - Progress: wait-free
  /// - Context: owner, in user or kernel, outside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func isEnabled(
    on cpu: CPUHandle, file: StaticString = #fileID, line: UInt = #line
  ) -> Bool {
    if cpu.core != core { PatchDiagnosis.foreign("a static key", file, line) }
    if !isNeverDeferred {
      OwnerTransitions.requireOwner(cpu.slot, CallSite(file, line))
      PatchDiagnosis.requireCaughtUp(cpu.slot, "a static key", file, line)
    }
    return value(on: cpu.slot) != 0
  }

  /// The CPU's copy.
  @inlinable @inline(__always)
  func value(on slot: CPUSlot) -> UInt64 {
    // Relaxed: only this thread writes it, in its drain.
    // Safety: there is a copy at that distance from every slot.
    unsafe Place<SharedWord>(slot.base + Int(bitPattern: distance)).value.load(ordering: .relaxed)
  }
}

/// What is said of a key or a call that was used where it must not be.
@usableFromInline
enum PatchDiagnosis {
  /// Traps where this CPU's copies may be old: while its drain runs, and in a signal handler, which
  /// leaves to the thread what only the thread may change.
  @inlinable @inline(__always)
  static func requireCaughtUp(
    _ slot: CPUSlot, _ what: StaticString, _ file: StaticString, _ line: UInt
  ) {
    let special = slot.owner.special.load(ordering: .relaxed)
    if special & (OwnerFlags.draining | OwnerFlags.interrupted) != 0 {
      early(slot, what, special, file, line)
    }
  }

  @usableFromInline @inline(never)
  static func early(
    _ slot: CPUSlot, _ what: StaticString, _ special: UInt64, _ file: StaticString, _ line: UInt
  ) -> Never {
    let place = special & OwnerFlags.draining != 0 ? "inside a handler" : "in an interrupt"
    misuse(
      "CPU \(OwnerTransitions.number(slot)) read \(what) \(place), before it has caught up: at \(file):\(line)",
      file, line)
  }

  @usableFromInline @inline(never)
  static func foreign(_ what: StaticString, _ file: StaticString, _ line: UInt) -> Never {
    misuse("\(what) was used on a CPU of another coordinator", file, line)
  }
}

// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A function that is called all the time and hardly ever exchanged: each CPU calls a copy of its
/// own, which it exchanges in its drain.
///
///     let route = try keys.makeCall("route", to: table) { table, packet in
///       table!.assumingMemoryBound(to: Int.self)[packet & 255]
///     }
///     …
///     let next = route(packet, on: cpu)
///     …
///     try keys.update(route, to: newTable, newFunction)
///     try coordinator.synchronize()
///     oldTable.deallocate()  // nobody in kernel calls with it any more
///
/// Function and context change together, at the same points as a `StaticKey`. A call of no function
/// does nothing and returns 0. **The old context may be freed** after `update` and a grace period,
/// where the calls are made in kernel. A CPU in user is not waited for by either: where calls are
/// made in user, `update(…, until: .executed)` is what to wait for, and the functions must contain
/// no safe point.
///
/// The signature is fixed, since Swift has no C functions of generic types; an address fits into an
/// `Int`. Threads that are no CPUs have no copy, and call what they like directly.
///
/// After Linux's static calls (`kernel/static_call_inline.c`).
///
/// - Progress: wait-free to read, then as the function
/// - Context: owner, outside handlers
/// - Allocates: never
@frozen
public struct StaticCall: Hashable, Sendable {
  /// What is called: the context, and the caller's argument.
  public typealias Function = @convention(c) (UnsafeMutableRawPointer?, Int) -> Int

  /// From a CPU's slot to its copy of the function; that of the context stands after it.
  @usableFromInline let distance: UInt
  @usableFromInline let core: CoordinatorCore
  @usableFromInline let index: Int32

  init(distance: UInt, core: CoordinatorCore, index: Int) {
    self.distance = distance
    self.core = core
    self.index = Int32(truncatingIfNeeded: index)
  }

  /// What became of an exchange.
  public enum Outcome: Hashable, Sendable {
    /// The function was exchanged: every CPU was reached.
    case exchanged
    /// It was the same function and context: nothing was done, nobody was told.
    case unchanged
  }

  /// Calls this CPU's function; 0 if there is none.
  ///
  ///     let next = route(packet, on: cpu)
  ///
  /// - Parameters:
  ///   - argument: handed on to the function.
  ///   - cpu: the calling thread's CPU.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what the function returned; 0 if there is none.
  /// - Progress: wait-free, then as the function
  /// - Context: owner, in user or kernel, outside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func callAsFunction(
    _ argument: Int, on cpu: borrowing LocalCPU, file: StaticString = #fileID, line: UInt = #line
  ) -> Int {
    if cpu.path.core != core { PatchDiagnosis.foreign("a static call", file, line) }
    return call(cpu.slot, argument, file, line)
  }

  /// Calls this CPU's function, for code that has a handle: it looks, besides, whether this is the
  /// CPU's thread, and whether it is inside a handler.
  ///
  /// On another thread, to which function and context may change apart, inside a handler, where the
  /// CPU has not caught up, and in an interrupt, this ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - argument: handed on to the function.
  ///   - cpu: a handle of the calling thread's CPU.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what the function returned; 0 if there is none.
  /// - Progress: wait-free, then as the function
  /// - Context: owner, in user or kernel, outside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func callAsFunction(
    _ argument: Int, on cpu: CPUHandle, file: StaticString = #fileID, line: UInt = #line
  ) -> Int {
    if cpu.core != core { PatchDiagnosis.foreign("a static call", file, line) }
    OwnerTransitions.requireOwner(cpu.slot, CallSite(file, line))
    PatchDiagnosis.requireCaughtUp(cpu.slot, "a static call", file, line)
    return call(cpu.slot, argument, file, line)
  }

  @inlinable @inline(__always)
  func call(
    _ slot: CPUSlot, _ argument: Int, _ file: StaticString, _ line: UInt
  ) -> Int {
    // By way of an integer: the copy is not in the memory that the slot is in.
    // Safety: there is a copy at that distance from every slot.
    let copy = unsafe Address(at: slot.base.bits &+ distance).map { unsafe Table<SharedWord>($0) }
      .unsafelyUnwrapped
    // Relaxed, both: only this thread writes them, in its drain.
    let function = copy[0].load(ordering: .relaxed)
    if function <= 1 {
      // What a key says: the call is of a coordinator that is gone, in whose place this one stands.
      if function == 1 { PatchDiagnosis.foreign("a static call", file, line) }
      return 0
    }
    let context = copy[1].load(ordering: .relaxed)
    // Safety: the two words were written together: a function and its context.
    let target = unsafe unsafeBitCast(UInt(truncatingIfNeeded: function), to: Function.self)
    return unsafe target(
      UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: context)), argument)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// A thread's line in a domain: the slots of its scopes, and what it has retired.
///
///     0 … 12  slots     protected addresses; 0 is free
///         13  batch     what this thread has retired and no scan has taken; 0 while it is written
///         14  holders   the line in which this thread last found a slot for a holder
///         15  retired   how many objects this thread has retired
///
/// Line 0 is that of all threads without a number; its first slot is never free.
@safe @usableFromInline
struct HazardLine {
  @usableFromInline let base: UnsafeMutablePointer<SharedAddress>

  @inlinable @inline(__always)
  init(_ base: UnsafeMutablePointer<SharedAddress>) { unsafe self.base = unsafe base }

  #if ModelChecking
    // Few, since a scan's look at each is a place to switch.
    static let scopes = 1
  #else
    static let scopes = 13
  #endif

  var batch: UnsafeMutablePointer<SharedAddress> { unsafe base + 13 }
  var holders: UnsafeMutablePointer<SharedAddress> { unsafe base + 14 }
  var retired: UnsafeMutablePointer<SharedWord> {
    unsafe UnsafeMutableRawPointer(base + 15).assumingMemoryBound(to: SharedWord.self)
  }

  /// What stands in a slot that nobody may use; no object lies there, and it is no wildcard.
  static let blocked: UInt = 2
}

/// A slot for a scope, and whether it is a holder's.
@frozen @safe @usableFromInline
struct HazardScope {
  @usableFromInline let slot: UnsafeMutablePointer<SharedAddress>
  @usableFromInline let isHolders: Bool

  @inlinable @inline(__always)
  init(_ slot: UnsafeMutablePointer<SharedAddress>, isHolders: Bool) {
    unsafe self.slot = unsafe slot
    self.isHolders = isHolders
  }
}

extension HazardCore {
  /// A free slot for a scope of the calling thread: the first one of its line, or what the slow
  /// path finds.
  @inlinable @inline(__always)
  func beginScope() -> HazardScope {
    let slot = unsafe line(HazardThread.number)
    // Relaxed: this thread alone writes it.
    if unsafe slot.pointee.load(ordering: .relaxed) == 0 {
      return unsafe HazardScope(slot, isHolders: false)
    }
    return beginScopeSlow()
  }

  @usableFromInline @inline(never)
  func beginScopeSlow() -> HazardScope {
    let line = ownLine
    for index in 0..<HazardLine.scopes {
      if unsafe line.base[index].load(ordering: .relaxed) == 0 {
        return unsafe HazardScope(line.base + index, isHolders: false)
      }
    }
    return unsafe HazardScope(takeHolderSlot(), isHolders: true)
  }

  @inlinable @inline(__always)
  func endScope(_ scope: HazardScope) {
    // Release — hazard:R. The last use of the object comes before. Pairs with hazard:S.
    unsafe scope.slot.pointee.store(0, ordering: .releasing)
    if scope.isHolders { unsafe giveBackHolderSlot(scope.slot) }
  }

  /// The calling thread's line; line 0 for a thread that can have no number.
  var ownLine: HazardLine { unsafe HazardLine(line(HazardThread.takeNumber())) }

  /// Every line that a thread has had so far.
  ///
  /// The limit is read sequentially consistent: if a number that was given out behind the caller's
  /// fence is missed, so is nothing that its thread protected before.
  func forEachLine(_ body: (Int, HazardLine) -> Void) {
    for number in 0..<HazardThread.limit { unsafe body(number, HazardLine(line(number))) }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// A slot for a scope, and whether it is a holder's.
@frozen @safe @usableFromInline
struct HazardScope {
  @usableFromInline let slot: Place<SharedAddress>
  @usableFromInline let isHolders: Bool

  @inlinable @inline(__always)
  init(_ slot: Place<SharedAddress>, isHolders: Bool) {
    self.slot = slot
    self.isHolders = isHolders
  }
}

extension HazardCore {
  /// A free slot for a scope of the calling thread: the first one of its line, or what the slow
  /// path finds.
  @inlinable @inline(__always)
  func beginScope() -> HazardScope {
    let slot = line(HazardThread.number).place(0)
    // Relaxed: this thread alone writes it.
    if slot.value.load(ordering: .relaxed) == 0 {
      return HazardScope(slot, isHolders: false)
    }
    return beginScopeSlow()
  }

  @usableFromInline @inline(never)
  func beginScopeSlow() -> HazardScope {
    let line = ownLine
    for index in 0..<Limits.hazardScopes {
      if line.words[index].load(ordering: .relaxed) == 0 {
        return HazardScope(line.words.place(index), isHolders: false)
      }
    }
    return HazardScope(takeHolderSlot(), isHolders: true)
  }

  @inlinable @inline(__always)
  func endScope(_ scope: HazardScope) {
    // Release — hazard:R. The last use of the object comes before. Pairs with hazard:S.
    scope.slot.value.store(0, ordering: .releasing)
    if scope.isHolders { giveBackHolderSlot(scope.slot) }
  }

  /// The calling thread's line; line 0 for a thread that can have no number.
  var ownLine: HazardLine { HazardLine(line(HazardThread.takeNumber())) }

  /// Every line that a thread has had so far.
  ///
  /// The limit is read sequentially consistent: if a number that was given out after the caller's
  /// fence is missed, so is nothing that its thread protected before.
  func forEachLine(_ body: (Int, HazardLine) -> Void) {
    for number in 0..<HazardThread.limit { body(number, HazardLine(line(number))) }
  }
}

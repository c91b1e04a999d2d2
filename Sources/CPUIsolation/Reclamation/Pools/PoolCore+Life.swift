// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

// MARK: - Registration

extension PoolCore {
  /// Finds a ring for the calling thread; nil when all have a living thread.
  ///
  /// The caller holds a reference, which stays with the ring.
  func claimRing() -> PoolRing? {
    let thread = CurrentThread.knownID
    for number in 0..<ringCount {
      let holder = ring(number).holder
      if PoolRing.thread(of: holder) == 0, ring(number).claim(as: thread, after: holder) {
        return ring(number)
      }
    }
    for number in 0..<ringCount where claimDead(number, as: thread) {
      // The dead thread's reference: we have our own.
      drop(1)
      return ring(number)
    }
    return nil
  }

  /// Makes a thread the owner of a ring whose thread has died.
  private func claimDead(_ number: Int, as thread: Int32) -> Bool {
    let holder = ring(number).holder
    let former = PoolRing.thread(of: holder)
    // What a dead thread wrote is seen: the system took it off its processor before it said so.
    return former != 0 && !CurrentThread.isAlive(former)
      && ring(number).claim(as: thread, after: holder)
  }

  /// Ends the registration of a thread. What is in its ring stays there for the others.
  func leave(_ ring: PoolRing) {
    ring.release()
    // Full fence — pool:F. If our last pool:P comes before pool:Q, whoever closes the pool finds the
    // object; else we see that it is closed, and look ourselves. Pairs with pool:Q.
    fullFence()
    drop(1 + (isClosed ? empty(ring) : 0))
  }
}

// MARK: - The end

extension PoolCore {
  /// Closes the pool. False: it was closed already.
  func close() -> Bool {
    // Relaxed: one thread closes it, and the fence orders.
    guard control.value.closed.exchange(1, ordering: .relaxed) == 0 else { return false }
    // Full fence — pool:Q. If an object that comes back is in its place before, we find it here;
    // else who brings it sees that the pool is closed. Pairs with pool:X, pool:F.
    fullFence()
    var references = 1 + emptyShelf()
    for number in 0..<ringCount {
      if claimDead(number, as: CurrentThread.knownID) {
        references += 1
        ring(number).release()
      }
      // After that look: what a thread has put there before it died nobody else looks for.
      references += empty(ring(number))
    }
    drop(references)
    return true
  }

  /// Closes the pool, whose memory ends now, with the objects that are out. Nobody but the caller can
  /// reach one of them, and no thread has a ring.
  func endWithObjects() {
    _ = close()
    // Relaxed: nobody else has a reference.
    let left = control.value.references.load(ordering: .relaxed)
    if left != 0 { drop(Int(left)) }
  }

  /// Takes everything out of a ring; how many there were.
  private func empty(_ ring: PoolRing) -> Int {
    var count = 0
    while ring.steal(mask, NoFaults.self) != PoolRing.none { count += 1 }
    return count
  }

  /// Takes everything off the shelf; how many there were.
  func emptyShelf() -> Int {
    var count = 0
    while shelf.take(from: 0, NoFaults.self) != PoolRing.none { count += 1 }
    return count
  }

  /// Takes a reference. False: the memory is gone.
  func hold() -> Bool {
    var seen = control.value.references.load(ordering: .relaxed)
    while seen != 0 {
      // Relaxed — who has the handle has seen the memory made, and a count that is not zero now
      // stays so until we give our reference back.
      let (exchanged, original) = control.value.references.weakCompareExchange(
        expected: seen, desired: seen &+ 1, successOrdering: .relaxed, failureOrdering: .relaxed)
      if exchanged { return true }
      seen = original
    }
    return false
  }

  /// Gives references back. Nothing of the pool may be touched after it.
  @usableFromInline
  func drop(_ count: Int) {
    let count = UInt64(truncatingIfNeeded: count)
    // Acquire and release — pool:D. Everything that was done to the memory comes before it is freed.
    // Pairs with pool:D.
    let old = control.value.references.wrappingAdd(
      0 &- count, ordering: .acquiringAndReleasing
    ).oldValue
    if old == count { free() }
  }

  @inline(never)
  private func free() {
    control.value.memory?.end(control.address)
    control.value.memory = nil
    PoolCore.dropControl(control)
  }

  /// Gives up the handle's hold on the control, or the memory's.
  static func dropControl(_ control: Place<PoolControl>) {
    // Acquire and release — pool:D, as above.
    if control.value.holders.wrappingAdd(.max, ordering: .acquiringAndReleasing).oldValue
      == 1
    {
      // Safety: nobody holds it any more.
      unsafe control.pointer.deinitialize(count: 1)
      unsafe control.address.pointer.deallocate()
    }
  }
}

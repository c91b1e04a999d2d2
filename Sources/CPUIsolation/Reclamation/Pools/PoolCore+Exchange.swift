// SPDX-License-Identifier: Apache-2.0

public import Synchronization

// MARK: - Threads with a ring

extension PoolCore {
  /// Takes an object: out of the thread's own ring first.
  @inlinable @inline(__always)
  func take<Faults: PoolFaults>(at ring: PoolRing, _: Faults.Type) -> UInt32 {
    if isClosed { return PoolRing.none }
    let index = ring.pop(mask, Faults.self)
    if index == PoolRing.none { return takeElsewhere(at: ring, Faults.self) }
    ring.owner.pops.countOne()
    return index
  }

  /// Puts an object into the thread's own ring. False: the pool is closed, and it was not put there.
  @inlinable @inline(__always)
  func put<Faults: PoolFaults>(_ index: UInt32, at ring: PoolRing, _: Faults.Type) -> Bool {
    if isClosed { return false }
    ring.push(index, mask, Faults.self)
    ring.owner.pushes.countOne()
    return true
  }

  /// Takes an object that is not in the thread's own ring: off the shelf, or out of the other rings,
  /// those of threads that ended or died among them.
  @inlinable @inline(never)
  func takeElsewhere<Faults: PoolFaults>(at own: PoolRing, _: Faults.Type) -> UInt32 {
    var index = takeOffShelf(Faults.self)
    if index == PoolRing.none {
      // Where the last theft succeeded, there will be more: a thread that frees what others take.
      var victim = Int(truncatingIfNeeded: own.owner.victim.load(ordering: .relaxed))
      for _ in 0..<ringCount {
        index = ring(victim).steal(mask, Faults.self)
        if index != PoolRing.none {
          own.owner.victim.store(
            UInt64(truncatingIfNeeded: victim), ordering: .relaxed)
          break
        }
        victim = victim &+ 1 == ringCount ? 0 : victim &+ 1
      }
    }
    if index == PoolRing.none {
      own.owner.misses.countOne()
    } else {
      own.owner.pops.countOne()
      own.owner.steals.countOne()
    }
    return index
  }

  @inlinable @inline(__always)
  func takeOffShelf<Faults: PoolFaults>(_: Faults.Type) -> UInt32 {
    shelf.isEmpty ? PoolRing.none : shelf.take(from: 0, Faults.self)
  }

  /// Whether `close` has begun.
  @inlinable @inline(__always)
  var isClosed: Bool {
    // Relaxed — a push that does not see it yet is followed by a look that does. That look is pool:F
    // or pool:X.
    control.value.closed.load(ordering: .relaxed) != 0
  }
}

// MARK: - Threads without a ring

extension PoolCore {
  /// Takes an object for a thread without a ring, which holds the memory meanwhile.
  func takeAsGuest<Faults: PoolFaults>(_: Faults.Type) -> UInt32 {
    if isClosed { return PoolRing.none }
    let place = Int(CurrentThread.knownID)
    var index =
      shelf.isEmpty ? PoolRing.none : shelf.take(from: place % shelf.words, Faults.self)
    var isStolen = false
    for step in 0..<ringCount where index == PoolRing.none {
      index = ring((place + step) % ringCount).steal(mask, Faults.self)
      isStolen = index != PoolRing.none
    }
    let count =
      index == PoolRing.none ? shelf.misses : shelf.pops
    count.value.wrappingAdd(1, ordering: .relaxed)
    if isStolen { shelf.steals.value.wrappingAdd(1, ordering: .relaxed) }
    return index
  }

  /// Takes a reference for a thread that has an object: the pool cannot have gone.
  @usableFromInline
  func holdAsGuest() {
    // Relaxed — the object is a reference already.
    control.value.references.wrappingAdd(1, ordering: .relaxed)
  }

  /// Puts an object back for a thread without a ring, and gives up the thread's reference: once the
  /// object is on the shelf, that is all that holds the memory.
  @usableFromInline
  func putAsGuest(_ index: UInt32) { putAsGuest(index, NoFaults.self) }

  func putAsGuest<Faults: PoolFaults>(_ index: UInt32, _: Faults.Type) {
    if isClosed { return drop(2) }
    shelf.pushes.value.wrappingAdd(1, ordering: .relaxed)
    if !shelf.put(index, Faults.self) { refuse(index) }
    // Sequentially consistent — pool:X. After poolShelf:O. If the pool is closed later (pool:Q),
    // whoever closes it finds the object; else we see that it is closed, and look ourselves. Pairs
    // with pool:Q.
    let isClosed = control.value.closed.load(ordering: .sequentiallyConsistent) != 0
    drop(1 + (isClosed ? emptyShelf() : 0))
  }
}

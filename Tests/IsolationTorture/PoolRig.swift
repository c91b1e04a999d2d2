// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc
internal import Synchronization

/// Object pools: no object in two hands, and none lost.
final class PoolRig: Sendable {
  private static let capacity = 24
  private let raw: RawObjectPool
  private let objects: ObjectPool<PoolCell>
  private let torture: Torture

  init(_ torture: Torture) throws(IsolationError) {
    self.torture = torture
    raw = try RawObjectPool(capacity: Self.capacity, objectBytes: 32, rings: 4)
    objects = try ObjectPool(capacity: Self.capacity, rings: 4, isCompact: true) { _ in PoolCell() }
  }

  /// Takes and gives back for a while, with a ring or as a guest.
  func use(_ turn: inout Turn) {
    if turn.random.oneIn(2) { useRaw(&turn) } else { useObjects(&turn) }
  }

  private func useRaw(_ turn: inout Turn) {
    let holder = UInt64(turn.row + 1)
    if turn.random.oneIn(3) {
      guard let object = unsafe raw.pop() else { return }
      unsafe hold(word(object), holder, &turn)
      unsafe raw.push(object)
      if turn.bug == .doublePush, turn.random.oneIn(100) { unsafe raw.push(object) }
      if turn.bug == .useAfterPush { unsafe useAgain(word(object), &turn) }
      turn.count(.pop)
      return
    }
    guard let local = raw.register() else { return }
    // Safety: what was popped is this thread's until it is pushed.
    var taken = unsafe [UnsafeMutableRawPointer]()
    for _ in 0..<turn.random.below(12) {
      guard let object = unsafe local.pop() else { break }
      unsafe taken.append(object)
      unsafe hold(word(object), holder, &turn, gives: false)
    }
    let count = unsafe taken.count
    for _ in 0..<count {
      let object = unsafe taken.removeLast()
      unsafe release(word(object), holder, &turn)
      unsafe local.push(object)
    }
    turn.count(.pop, count)
  }

  private func useObjects(_ turn: inout Turn) {
    let holder = UInt64(turn.row + 1)
    if turn.random.oneIn(3) {
      guard let object = objects.pop() else { return }
      hold(object.element, holder, &turn)
      turn.count(.object)
      return
    }
    guard let local = objects.register() else { return }
    for _ in 0..<turn.random.below(12) {
      guard let object = local.pop() else { break }
      hold(object.element, holder, &turn)
      local.push(object)
      turn.count(.object)
    }
  }

  // MARK: Holding

  private func word(_ object: UnsafeMutableRawPointer) -> UnsafeMutablePointer<PoolCell> {
    unsafe object.assumingMemoryBound(to: PoolCell.self)
  }

  private func hold(
    _ cell: UnsafeMutablePointer<PoolCell>, _ holder: UInt64, _ turn: inout Turn, gives: Bool = true
  ) {
    // Safety: an object of the pool, zero at first.
    unsafe hold(cell.pointee, holder, &turn, gives: gives)
  }

  private func hold(
    _ cell: borrowing PoolCell, _ holder: UInt64, _ turn: inout Turn, gives: Bool = true
  ) {
    let before = cell.holder.exchange(holder, ordering: .relaxed)
    turn.check(before == 0, "an object is in the hands of \(before) and of \(holder)")
    turn.reach(.whileHolding)
    turn.spin(100)
    if gives { release(cell, holder, &turn) }
  }

  private func release(
    _ cell: UnsafeMutablePointer<PoolCell>, _ holder: UInt64, _ turn: inout Turn
  ) {
    unsafe release(cell.pointee, holder, &turn)
  }

  private func release(_ cell: borrowing PoolCell, _ holder: UInt64, _ turn: inout Turn) {
    let now = cell.holder.exchange(0, ordering: .relaxed)
    turn.check(now == holder, "an object of \(holder) was in the hands of \(now)")
  }

  // MARK: Mistakes

  private func useAgain(_ cell: UnsafeMutablePointer<PoolCell>, _ turn: inout Turn) {
    unsafe cell.pointee.holder.store(99, ordering: .relaxed)
    if turn.random.oneIn(8) { sched_yield() } else { turn.spin() }
    unsafe cell.pointee.holder.store(0, ordering: .relaxed)
  }

  /// Whether everything is back, once nobody holds anything, and goes when the pool is closed.
  func finish() {
    for (name, total) in [("raw", raw.statistics.total), ("object", objects.statistics.total)] {
      torture.violations.check(
        total.free == Self.capacity && total.pops == total.pushes,
        "\(total.free) of \(Self.capacity) objects of the \(name) pool are back: \(total)")
    }
    raw.close()
    objects.close()
    torture.violations.check(
      raw.isFreed && objects.isFreed, "a pool that was closed keeps its memory")
  }
}

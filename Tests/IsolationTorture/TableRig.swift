// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc
internal import Synchronization

/// A table that CPUs look at in kernel, and that is replaced and given up after a grace period, waited for in every way that
/// there is.
///
/// Tables are words: the number that a table was published with, 0 once it was given up.
final class TableRig: Sendable {
  private static let tables = 256
  private let coordinator: Coordinator
  private let torture: Torture
  private let stamps = WordTable(tables)
  private let current = WordTable(1)
  private let numbers = WordTable(1)
  private let free: Mutex<[Int]>
  private let callbacks: GracePeriodCallbacks
  private let accepted = WordTable(2)

  init(_ coordinator: Coordinator, _ torture: Torture) throws(IsolationError) {
    self.coordinator = coordinator
    self.torture = torture
    free = Mutex(Array(1..<Self.tables))
    callbacks = try GracePeriodCallbacks(coordinator, capacity: 32)
    stamps.store(0, numbers.add(0))
  }

  /// Looks at the table for a while, in kernel.
  func look(_ turn: inout Turn) {
    let table = Int(current.loadAcquiring(0))
    let stamp = stamps.load(table)
    turn.check(stamp != 0, "a table that had been given up was found")
    turn.reach(.inKernel)
    turn.spin(200)
    let now = stamps.load(table)
    turn.check(now == stamp, "a table was given up while a CPU in kernel looked at it")
  }

  /// Replaces the table, by a thread that is no CPU or is in kernel outside sections.
  func replace(_ turn: inout Turn) {
    guard let table = free.withLock({ $0.popLast() }) else { return }
    stamps.store(table, numbers.add(0))
    let old = Int(current.exchange(0, UInt64(table)))
    turn.reach(.beforeWait)
    if turn.bug == .earlyGracePeriod { return giveUp(old) }
    switch turn.random.below(10) {
    case 0..<3:
      finish(old, coordinator.synchronize(timeout: Torture.generous), &turn)
    case 3: poll(old, &turn)
    case 4:
      let gracePeriod = coordinator.startGracePeriod()
      let outcome = TaskWait.run {
        var gracePeriod = gracePeriod
        return try await gracePeriod.wait(timeout: Torture.generous)
      }
      turn.count(.asyncGracePeriod)
      finish(old, outcome, &turn)
    case 5: retireWaiting(old, &turn)
    default: retire(old, &turn)
    }
  }

  private func poll(_ old: Int, _ turn: inout Turn) {
    var gracePeriod = coordinator.startGracePeriod()
    for _ in 0..<300_000 {
      if gracePeriod.poll() { return finish(old, .settled, &turn) }
      usleep(20)
    }
    finish(old, .timedOut(gracePeriod.stragglers), &turn)
  }

  private func retire(_ old: Int, _ turn: inout Turn) {
    let outcome: GracePeriodCallbacks.Outcome
    if turn.random.oneIn(2) {
      outcome = callbacks.retire { self.callBack(old) }
    } else {
      // Safety: one reference, which the function takes over, or this one if it was not accepted.
      let me = unsafe Unmanaged.passRetained(TableReturn(self, old))
      outcome = unsafe callbacks.retire(context: me.toOpaque()) { context in
        let table = unsafe Unmanaged<TableReturn>.fromOpaque(context.unsafelyUnwrapped)
          .takeRetainedValue()
        table.rig.callBack(table.table)
      }
      if outcome != .accepted { unsafe me.release() }
    }
    switch outcome {
    case .accepted: accepted.add(0)
    case .full: finish(old, coordinator.synchronize(timeout: Torture.generous), &turn)
    case .closed: turn.check(false, "callbacks are closed")
    }
  }

  private func retireWaiting(_ old: Int, _ turn: inout Turn) {
    let outcome = callbacks.retireWaiting(timeout: Torture.generous) { self.callBack(old) }
    turn.check(outcome == .accepted, "a callback was \(outcome)")
    if outcome == .accepted { accepted.add(0) }
  }

  func callBack(_ table: Int) {
    torture.faults.reachInHandler(.inCallback)
    accepted.add(1)
    torture.counts.add(.callback, row: 39)
    giveUp(table)
  }

  private func finish(_ old: Int, _ outcome: WaitOutcome, _ turn: inout Turn) {
    turn.check(outcome == .settled, "a grace period ended as \(outcome)")
    turn.count(.gracePeriod)
    if outcome == .settled { giveUp(old) }
  }

  private func giveUp(_ table: Int) {
    stamps.store(table, 0)
    free.withLock { $0.append(table) }
  }

  /// Whether every callback has run, once no CPU is left.
  func finish() {
    let outcome = callbacks.close(timeout: Torture.generous)
    torture.violations.check(
      outcome == .settled && callbacks.pending == 0, "callbacks end as \(outcome)")
    torture.violations.check(
      accepted.load(0) == accepted.load(1),
      "\(accepted.load(0)) callbacks were accepted, \(accepted.load(1)) ran")
  }
}

/// A table that a C function gives up.
private final class TableReturn: Sendable {
  let rig: TableRig
  let table: Int

  init(_ rig: TableRig, _ table: Int) {
    self.rig = rig
    self.table = table
  }
}

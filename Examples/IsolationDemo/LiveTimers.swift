// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// Timers of isolated CPUs that housekeepers set: `nohz_kick` in earnest.
///
/// Each housekeeper has one timer on each CPU. It stands in a word that both write: the deadline in
/// cycles of the clock, and in the lowest bit whether its kick has been sent, from when on the CPU
/// has to know of it after its next entry.
// Sendable: memory of its own that does not move, in which every word is atomic.
@safe
final class LiveTimers: @unchecked Sendable {
  let kick: TimerKick
  private let urgency: WorkType.Urgency
  private let housekeepers: Int
  private let timers: UnsafeMutablePointer<Atomic<UInt64>>
  private let soonest = CycleClock.cycles(of: .microseconds(200))
  private let latest = CycleClock.cycles(of: .milliseconds(5))

  private static let none = UInt64.max

  init(_ coordinator: Coordinator, housekeepers: Int, urgency: WorkType.Urgency)
    throws(IsolationError)
  {
    kick = try TimerKick(coordinator)
    self.urgency = urgency
    self.housekeepers = housekeepers
    let count = ((coordinator.cpus.last ?? 0) + 1) * housekeepers
    unsafe timers = .allocate(capacity: count)
    for index in 0..<count { unsafe (timers + index).initialize(to: Atomic(Self.none)) }
  }

  deinit { unsafe timers.deallocate() }

  /// Sets a timer, or brings it forward, and kicks its CPU.
  func bringForward(on cpu: Int, by housekeeper: Int) {
    let word = unsafe timers + cpu * housekeepers + housekeeper
    var old = unsafe word.pointee.load(ordering: .relaxed)
    var deadline = CycleClock.now &+ UInt64.random(in: soonest...latest)
    while true {
      if old != Self.none { deadline = min(deadline, old >> 1 &- 1) }
      let (exchanged, original) = unsafe word.pointee.compareExchange(
        expected: old, desired: deadline << 1, ordering: .relaxed)
      if exchanged { break }
      old = original
    }
    guard kick.bringForward(to: deadline, on: cpu, urgency: urgency) != .gone else { return }
    // Release — LiveTimers:P. After the kick, unless the timer has fired already. Pairs with
    // LiveTimers:E.
    _ = unsafe word.pointee.compareExchange(
      expected: deadline << 1, desired: deadline << 1 | 1, ordering: .releasing)
  }

  /// The earliest deadline that a CPU has been told: called by its thread, in user, just before it
  /// enters kernel.
  @inline(__always)
  func promised(to cpu: Int) -> UInt64 {
    var earliest = Self.none
    for index in 0..<housekeepers {
      // Acquire — LiveTimers:E. The entry comes after the kick. Pairs with LiveTimers:P.
      let word = unsafe timers[cpu &* housekeepers &+ index].load(ordering: .acquiring)
      if word != Self.none, word & 1 != 0 { earliest = min(earliest, word >> 1) }
    }
    return earliest
  }

  /// Judges what the CPU knows, and fires what is due.
  @inline(__always)
  func look(
    on cpu: borrowing LocalCPU, promised: UInt64, _ legality: Legality, _ place: Place
  ) {
    let known = kick.deadline(on: cpu) ?? Self.none
    if known > promised {
      legality.note(
        Violation(.deadline, at: place, thing: 0, seen: known, legal: promised...promised))
    }
    let now = CycleClock.now
    if known <= now { kick.setDeadline(fire(on: cpu.number, now), on: cpu) }
  }

  /// Fires what is due, and returns the next deadline.
  @inline(never)
  private func fire(on cpu: Int, _ now: UInt64) -> UInt64? {
    var next = Self.none
    for index in 0..<housekeepers {
      let word = unsafe timers + (cpu * housekeepers + index)
      var timer = unsafe word.pointee.load(ordering: .relaxed)
      while timer != Self.none {
        if timer >> 1 > now {
          next = min(next, timer >> 1)
          break
        }
        // Relaxed: the owner of the timer learns nothing from it but that it has fired.
        let (exchanged, original) = unsafe word.pointee.compareExchange(
          expected: timer, desired: Self.none, ordering: .relaxed)
        if exchanged { break }
        timer = original
      }
    }
    return next == Self.none ? nil : next
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What the watchdog looks at beside work that is pending.
extension WatchdogService {
  func isOffline(_ cpu: Int) -> Bool {
    ContextWord(rawValue: core.slots[cpu].state.word.load(ordering: .relaxed)).context == .offline
  }

  /// Whether there is nothing to see of a CPU: most of them, most of the time, for the price of a line.
  func isUneventful(_ slot: CPUSlot) -> Bool {
    // Relaxed — watchdog:L, as below.
    guard
      slot.state.work.load(ordering: .relaxed) | slot.state.pin.load(ordering: .relaxed)
        | slot.state.kickAgain.load(ordering: .relaxed) == 0
    else { return false }
    let context = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed)).context
    guard context?.acceptsDeferral == true else {
      return OwnerFlags.runningType(slot.owner.special.load(ordering: .relaxed)) == nil
    }
    return core.line.catchUp.load(ordering: .relaxed) == 0
      || Drain(core, slot).lagging(among: .max) == 0
  }

  /// Whether somebody may have work of the CPU in hand: its own thread, or a helper.
  ///
  /// Loaded after K: what is no longer there was taken after `draining` had been set, or a few instructions
  /// before.
  func isDraining(_ slot: CPUSlot) -> Bool {
    // Relaxed — watchdog:L, as above.
    slot.owner.special.load(ordering: .relaxed) & OwnerFlags.draining != 0
      || slot.state.pin.load(ordering: .relaxed) != 0
  }

  func lookAtHandler(of cpu: Int, _ now: UInt64, _ sight: inout Sight) {
    let slot = core.slots[cpu]
    let special = slot.owner.special.load(ordering: .relaxed)
    guard let type = OwnerFlags.runningType(special) else {
      if let last = sight.type { recovered(&sight, cpu, .kernel, last, now) }
      sight = Sight()
      return
    }
    // Runs of either kind: a bit's, and those of a comparison.
    let executed =
      slot.executed[type].load(ordering: .relaxed)
      &+ slot.catchUps[type].load(ordering: .relaxed)
    if sight.type != type || sight.executed != executed {
      if let last = sight.type { recovered(&sight, cpu, .kernel, last, now) }
      sight = Sight(since: now, executed: executed, type: type)
      return
    }
    report(.handlerRunning, &sight, cpu, .kernel, type, now)
  }

  func lookAtPin(of cpu: Int, _ now: UInt64, _ sight: inout Sight) {
    let slot = core.slots[cpu]
    let pin = slot.state.pin.load(ordering: .relaxed)
    if pin == 0 || sight.since == 0 || sight.executed != pin {
      sight = pin == 0 ? Sight() : Sight(since: now, executed: pin)
      return
    }
    report(.helperHoldsPin, &sight, cpu, .user, 0, now, thread: Int32(truncatingIfNeeded: pin))
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Idle of a thread that sleeps where no futex reaches it: the halves of `idle`.
extension OwnerTransitions {
  /// Leaves to idle for a sleep elsewhere. False: something was pending, or came; it has run, and the CPU is
  /// in kernel.
  static func beginIdle(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) -> Bool {
    requirePlainKernel(slot, "become idle", site)
    if !slot.call.parker.hasWakeFunction {
      misuse(
        "CPU \(number(slot)) cannot sleep elsewhere: its thread attached without a wake function",
        site.file, site.line)
    }
    if slot.state.work.load(ordering: .relaxed) != 0 {
      Drain(slot).drainPending()
      return false
    }
    if publishIdle(slot), slot.call.parker.beginSleepElsewhere() { return true }
    enter(slot, Drain(slot).core, from: .idle, site)
    return false
  }

  /// Enters from idle.
  static func endIdle(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    if ContextTracker(slot).ownContext == UInt64(CPUContext.idle.rawValue) {
      slot.call.parker.endSleepElsewhere()
    }
    enter(slot, Drain(slot).core, from: .idle, site)
  }

  /// Enters from wherever the CPU is outside kernel. False if it was in kernel.
  static func enterIfNeeded(_ slot: CPUSlot, _ site: CallSite) -> Bool {
    let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
    switch context {
    case .idle?: endIdle(slot, site)
    case .user?, .guest?: enter(slot, Drain(slot).core, from: context!, site)
    default: return false
    }
    return true
  }
}

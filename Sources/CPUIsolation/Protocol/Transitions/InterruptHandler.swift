// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What the signal handler does on the thread that it interrupted.
enum InterruptHandler {
  /// Installs the handler for `signal`, once for all coordinators of the process.
  static func install(_ signal: Int32) throws(IsolationError) {
    // Safety: the handler is told the slot of its thread.
    let error = unsafe cpi_install_interrupt_handler(signal) { unsafe InterruptHandler.run($0) }
    if error == 0 { return }
    throw IsolationError(
      error == 16 ? .signalTaken : .signalRefused, errno: error,
      error == 16
        ? "signal \(signal) has a handler already that is not this library's"
        : "signal \(signal) cannot be handled")
  }

  /// A full entry and exit of its own, if the thread is outside kernel; else nothing, since the
  /// thread looks at K itself before it leaves kernel (`exit:K`) and right after (`exit:A`).
  ///
  /// It decides by W alone, never by a depth or a flag of the code that it interrupted: W is what
  /// senders and grace periods believe.
  static func run(_ base: UnsafeMutableRawPointer) {
    // Safety: the thread has bound the slot.
    let slot = unsafe CPUSlot(base: Address(base))
    // Somebody else's signal, or a kick to a CPU that this thread was before: a CPU that is not kicked
    // by signals has calls in its queue that must not run in a handler.
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    guard reach.interrupter == .signal else { return }
    let tracker = ContextTracker(slot)
    for _ in 0..<Drain.visits {
      // Relaxed — signal:W. The word is this thread's own.
      let word = slot.state.word.load(ordering: .relaxed)
      guard let context = ContextWord(rawValue: word).context, context.acceptsDeferral else {
        slot.owner.idleInterrupts.countOne()
        return
      }
      _ = tracker.enterKernelTakingNothing(from: context)
      let saved = slot.owner.special.load(ordering: .relaxed)
      slot.owner.special.store(saved | OwnerFlags.interrupted, ordering: .relaxed)
      if context == .user { OwnerTransitions.trace(.contextUserExit, slot) }
      Drain(slot).drainInterruptSafe()
      if context == .user { OwnerTransitions.trace(.contextUserEnter, slot) }
      slot.owner.special.store(saved, ordering: .relaxed)
      tracker.publish(
        slot.owner.word.load(ordering: .relaxed) &+ ContextWord.exit(to: context))
      // A sleep would go on after the handler, over what just ran and the sleeper may wait for, and
      // over what came meanwhile and is not the handler's: its sender saw kernel, and woke nobody.
      if context == .idle { slot.call.parker.unpark() }
      // A kick that came after our last take has sent a signal, which is blocked until we return:
      // going round spares it.
      if !tracker.isAttentionWanted { return }
    }
    // Work that asks for more of itself each time it runs: the loop goes on, and finds the rest at its
    // next poll, transition or signal. Later kicks take the attention bit for a signal that is on its
    // way, which there is not: the watchdog sends one.
    slot.state.kickAgain.store(1, ordering: .relaxed)
  }
}

extension IsolationError.Code {
  /// The interrupt signal has a handler that is not the library's.
  public static let signalTaken = Self("signalTaken")
  /// The system refused to install the handler, or the number cannot be caught.
  public static let signalRefused = Self("signalRefused")
}

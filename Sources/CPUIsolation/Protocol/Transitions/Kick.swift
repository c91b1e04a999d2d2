// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Kicks: making a CPU look.
enum Kick {
  /// Asks the CPU to look at its work at once, whatever its context. True if a kick was sent: a signal, a
  /// wake-up, or the bit that the CPU's loop polls. False if one was on its way already and has not been
  /// answered, if there is no thread, if the CPU is one that sleeps when it has nothing to do, and is awake,
  /// or if the system refused the signal: then the watchdog tries again.
  ///
  /// The work is in K before. If our bit comes before the answer's take, the taker sees the work;
  /// if the take comes first, it cleared the bit, we set it again, and kick again.
  static func send(to slot: CPUSlot) -> Bool {
    // Sequentially consistent — kick:A. After the OR of the work. Pairs with drain:T and exit:A.
    if slot.state.work.setBit(BuiltInWork.attention) { return false }
    let context = context(of: slot)
    if context == .offline { return false }
    // Relaxed — kick:R. After the look at W: the thread that left its word there stored this before.
    // Pairs with attach:R.
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    if reach.interrupter == .signal, !isServing(slot) {
      // Safety: the slot is there; the handler looks whether it is its thread's.
      let error = unsafe CurrentThread.interrupt(
        reach.threadID, signal: reach.signal, cpu: slot.base
      ) { unsafe InterruptHandler.run($0) }
      if error != 0 { return refuse(slot, context, error) }
    }
    // Also beside a signal, which may be blocked for longer than the sleep.
    if context == .idle { slot.call.parker.unpark() }
    // Nothing reaches a CPU that is awake and polls nothing: it looks by itself.
    return context == .idle || reach.interrupter != .park
  }

  /// Whether the caller is this CPU's thread, inside what a drain of it runs: the drain looks again, and
  /// a signal to oneself would begin another before the loop that was interrupted goes on.
  private static func isServing(_ slot: CPUSlot) -> Bool {
    CurrentThread.isThread(of: slot)
      && slot.owner.special.load(ordering: .relaxed) & OwnerFlags.inHandler != 0
  }

  /// Notes a signal that was not sent, as when the queue of the user's pending signals is full
  /// (`EAGAIN`), and takes the mark of a kick back, so that the next one is sent.
  @inline(never)
  private static func refuse(_ slot: CPUSlot, _ context: CPUContext?, _ error: Int32) -> Bool {
    slot.state.refusedKicks.wrappingAdd(1, ordering: .relaxed)
    // Relaxed — a hint for the watchdog: the work itself is in K.
    slot.state.kickAgain.store(UInt64(UInt32(bitPattern: error)) << 32 | 1, ordering: .relaxed)
    // Acquire and release — watchdog:A. The attention bit alone, so that the next kick is a new one.
    slot.state.work.bitwiseAnd(~BuiltInWork.attentionMask, ordering: .acquiringAndReleasing)
    // A sleeper needs no signal.
    guard context == .idle else { return false }
    slot.call.parker.unpark()
    return true
  }

  /// Gets the CPU up if it sleeps, or keeps it from its next sleep, and interrupts nothing.
  static func rouse(_ slot: CPUSlot) {
    // Sequentially consistent — kick:A. Before the look at W, as in `send`. Pairs with drain:T.
    if !slot.state.work.setBit(BuiltInWork.attention) { wakeIfIdle(slot) }
  }

  /// Wakes the CPU if it sleeps.
  static func wakeIfIdle(_ slot: CPUSlot) {
    if context(of: slot) == .idle { slot.call.parker.unpark() }
  }

  private static func context(of slot: CPUSlot) -> CPUContext? {
    // Sequentially consistent — kick:W. After our OR on K; Dekker with leave:W and the look at K
    // after it.
    ContextWord(
      rawValue: slot.state.word.load(ordering: .sequentiallyConsistent)
    ).context
  }
}

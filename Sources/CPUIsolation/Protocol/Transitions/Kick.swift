// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Kicks: making a CPU look.
enum Kick {
  /// Asks the CPU to look at its work at once, whatever its context. True if a kick was sent, false
  /// if one was on its way already and has not been answered, or there is no thread.
  ///
  /// The work is in K before. If our bit comes before the answer's take, the taker sees the work;
  /// if the take comes first, it cleared the bit, we set it again, and kick again.
  static func send(to slot: CPUSlot) -> Bool {
    // Sequentially consistent — kick:A. Behind the OR of the work. Pairs with drain:T and exit:A.
    if slot.state.work.setBit(BuiltInWork.attention) { return false }
    let context = context(of: slot)
    if context == .offline { return false }
    // Relaxed — kick:R. Behind the look at W: the thread that left its word there stored this before.
    // Pairs with attach:R.
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    if reach.interrupter == .signal {
      unsafe CurrentThread.interrupt(
        reach.threadID, signal: reach.signal, cpu: slot.base
      ) { unsafe InterruptHandler.run($0) }
    }
    // Also beside a signal, which may be blocked for longer than the sleep.
    if context == .idle { slot.call.parker.unpark() }
    return true
  }

  /// Wakes the CPU if it sleeps.
  static func wakeIfIdle(_ slot: CPUSlot) {
    if context(of: slot) == .idle { slot.call.parker.unpark() }
  }

  private static func context(of slot: CPUSlot) -> CPUContext? {
    // Sequentially consistent — kick:W. Behind our OR on K; Dekker with leave:W and the look at K
    // behind it.
    ContextWord(
      rawValue: slot.state.word.load(ordering: .sequentiallyConsistent)
    ).context
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// How a CPU is told that something cannot wait.
///
///     configuration.isolatedInterrupter = .signal
///
/// - Progress: wait-free to kick; `.park` and `.signal` make one system call
/// - Context: any thread
/// - Allocates: never
public enum Interrupter: Hashable, Sendable {
  /// The CPU sleeps when it has nothing to do: a kick wakes it, and costs nothing if it does not
  /// sleep. For housekeeping CPUs.
  case park
  /// The hot loop calls `poll()`, one load. The default for isolated CPUs: nothing is taken from
  /// the loop but that load, and the kick takes effect at the next one.
  case poll
  /// A real interrupt by a signal: about 6 µs for the sender and 7 µs taken from the target. Only
  /// work and calls that declare themselves interrupt-safe run in the handler; the rest waits for
  /// the next safe point.
  ///
  /// System calls that the signal finds sleeping restart by themselves or return EINTR, as
  /// `signal(7)` lists.
  case signal

  var reach: Reach.Interruption {
    switch self {
    case .park: .park
    case .poll: .poll
    case .signal: .signal
    }
  }
}

/// Kicks: making a CPU look.
enum Kick {
  /// Asks the CPU to look at its work at once, whatever its context. True if a kick was sent, false
  /// if one was on its way already and has not been answered, or there is no thread.
  ///
  /// The work is in K before. If our bit comes before the answer's take, the taker sees the work;
  /// if the take comes first, it cleared the bit, we set it again, and kick again.
  static func send(to slot: CPUSlot) -> Bool {
    // Sequentially consistent — kick:A. Behind the OR of the work. Pairs with drain:T and exit:A.
    if unsafe slot.state.pointee.work.setBit(BuiltInWork.attention) { return false }
    let context = context(of: slot)
    if context == .offline { return false }
    // Relaxed — kick:R. Behind the look at W: the thread that left its word there stored this before.
    // Pairs with attach:R.
    let reach = Reach(rawValue: unsafe slot.state.pointee.reach.load(ordering: .relaxed))
    if reach.interrupter == .signal {
      unsafe CurrentThread.interrupt(
        reach.threadID, signal: reach.signal, cpu: slot.base
      ) { unsafe InterruptHandler.run($0) }
    }
    // Also beside a signal, which may be blocked for longer than the sleep.
    if context == .idle { unsafe slot.call.pointee.parker.unpark() }
    return true
  }

  /// Wakes the CPU if it sleeps.
  static func wakeIfIdle(_ slot: CPUSlot) {
    if context(of: slot) == .idle { unsafe slot.call.pointee.parker.unpark() }
  }

  private static func context(of slot: CPUSlot) -> CPUContext? {
    // Sequentially consistent — kick:W. Behind our OR on K; Dekker with leave:W and the look at K
    // behind it.
    ContextWord(
      rawValue: unsafe slot.state.pointee.word.load(ordering: .sequentiallyConsistent)
    ).context
  }
}

/// What the signal handler does on the thread that it interrupted.
enum InterruptHandler {
  /// Installs the handler for `signal`, once for all coordinators of the process.
  static func install(_ signal: Int32) throws(CoordinatorError) {
    let error = unsafe cpi_install_interrupt_handler(signal) { unsafe InterruptHandler.run($0) }
    if error == 0 { return }
    throw CoordinatorError(
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
    let slot = unsafe CPUSlot(base: base)
    // Somebody else's signal, or a kick to a CPU that this thread was before: a CPU that is not kicked
    // by signals has calls in its queue that must not run in a handler.
    let reach = Reach(rawValue: unsafe slot.state.pointee.reach.load(ordering: .relaxed))
    guard reach.interrupter == .signal else { return }
    let tracker = ContextTracker(slot)
    let owner = unsafe slot.owner
    while true {
      // Relaxed — signal:W. The word is this thread's own.
      let word = unsafe slot.state.pointee.word.load(ordering: .relaxed)
      guard let context = ContextWord(rawValue: word).context, context.acceptsDeferral else {
        unsafe owner.pointee.idleInterrupts.countOne()
        return
      }
      _ = tracker.enterKernelTakingNothing(from: context)
      let saved = unsafe owner.pointee.special.load(ordering: .relaxed)
      unsafe owner.pointee.special.store(saved | OwnerFlags.interrupted, ordering: .relaxed)
      if context == .user { OwnerTransitions.trace(.contextUserExit, slot) }
      Drain(slot).runInterruptSafe()
      if context == .user { OwnerTransitions.trace(.contextUserEnter, slot) }
      unsafe owner.pointee.special.store(saved, ordering: .relaxed)
      tracker.publish(
        unsafe owner.pointee.word.load(ordering: .relaxed) &+ ContextWord.exit(to: context))
      // A sleep would go on behind the handler, over what just ran and the sleeper may wait for, and
      // over what came meanwhile and is not the handler's: its sender saw kernel, and woke nobody.
      if context == .idle { unsafe slot.call.pointee.parker.unpark() }
      // A kick that came behind our last take has sent a signal, which is blocked until we return:
      // going round spares it.
      if !tracker.isAttentionWanted { return }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension OwnerTransitions {
  /// Binds the calling thread to the slot and publishes kernel. The caller holds the coordinator's
  /// lock, the slot is offline, and once the lock is free the caller ends the calls that were
  /// abandoned, and runs what the entry took.
  ///
  /// A CPU that attaches has nothing pending and has seen everything: whatever was sent to its
  /// predecessor is dropped here and counted as gone, and every generation counts as applied, since
  /// the new thread has cached nothing yet.
  static func attach(
    _ slot: CPUSlot, core: CoordinatorCore, reach: Reach, _ abandoned: inout AbandonedCalls
  ) -> ContextTracker.Entry {
    abandoned = abandonPending(slot, core)
    for type in 0..<Limits.ticketedTypes {
      // Acquire — attach:P. A send may have merged before this and set its bit after abandonPending,
      // even after our entry: its run finds nothing to tell, so the thread has to see its datum
      // itself. One that merges after this is told. Pairs with payload:M.
      _ = slot.payloads[type].exchange(0, ordering: .acquiring)
    }
    // Acquire — catchUp:A. Before the generations: what moves after this load moves the summary,
    // and the entry below, which compares it, catches up. Pairs with catchUp:S.
    let summary = core.summary.value.load(ordering: .acquiring)
    slot.owner.caughtUp.store(summary, ordering: .relaxed)
    for type in 0..<Limits.ticketedTypes {
      // Acquire — attach:G. Before kernel is published, and before the thread can cache anything.
      // Pairs with ticket:G.
      let generation = core.generations[UInt64(type)].load(ordering: .acquiring)
      slot.attachGeneration[type].store(generation, ordering: .relaxed)
      // Release — attach:A. A ticket that sees this sees `attachGeneration` too. Pairs with
      // ticket:A.
      slot.applied[type].store(generation, ordering: .releasing)
    }
    // Relaxed — attach:R. Before W: whoever sees this thread there finds the way to it. Pairs with
    // kick:R.
    slot.state.reach.store(reach.rawValue, ordering: .relaxed)
    slot.owner.special.store(
      cpi_realtime_sanitizer_is_linked() ? OwnerFlags.sanitized : 0, ordering: .relaxed)
    // Release — attach:I. Before W: a caller that sees the same incarnation before and after a call
    // has not met two owners.
    slot.state.incarnation.wrappingAdd(1, ordering: .acquiringAndReleasing)
    let word = slot.state.word.load(ordering: .relaxed)
    slot.owner.quiescentStates.store(0, ordering: .relaxed)
    slot.owner.counterAtAttach.store(
      ContextWord(rawValue: word).counter(), ordering: .relaxed)
    // Safety: the slot is there until the thread has detached.
    unsafe CurrentThread.bind(to: slot.base) { base in
      // The thread ends without having detached: its scope was left by pthread_exit, or a handle
      // was forgotten.
      unsafe OwnerTransitions.threadExits(CPUSlot(base: Address(base)))
    }
    // An entry like any other: entry:W, entry:K, entry:S.
    return ContextTracker(slot).enterKernel(from: .offline, comparing: core.summary)
  }

  /// The other way round: runs what is pending, publishes offline, and looks once more.
  ///
  /// - If a sender's OR comes before our look at K after the publication (`detach:K`), we go back
  ///   in and run the work. Nothing runs while the word says offline: grace periods pass such a
  ///   CPU. The same for a call that was pushed before our look at the queues (`detach:Q`), also if
  ///   the one who rings for it has not got round to that.
  /// - Else our addition to W came before its look at W: it sees offline and answers `gone`.
  static func detach(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    requirePlainKernel(slot, "detach", site)
    let drain = Drain(slot)
    drain.drainPending()
    let tracker = ContextTracker(slot)
    for _ in 0..<detachRounds {
      // Sequentially consistent — leave:W, as for idle.
      tracker.leaveKernelFenced(to: .offline)
      // Sequentially consistent — detach:K. Dekker with send:O/send:L.
      if slot.state.work.load(ordering: .sequentiallyConsistent) == 0,
        !drain.hasCalls
      {
        break
      }
      enter(slot, drain.core, from: .offline)
      drain.serveQueuedCalls()
    }
    if tracker.ownContext == UInt64(CPUContext.kernel.rawValue) {
      tracker.leaveKernelFenced(to: .offline)
    }
    // A helper that pinned before it could see offline works for us until it lets go.
    drain.waitWhilePinned()
    let abandoned = abandonPending(slot, drain.core)
    // Safety: nothing is bound any more.
    unsafe CurrentThread.bind(to: nil, onExit: nil)
    let wakeFunction = slot.call.parker.takeWakeFunction()
    let keeper = slot.owner.keeper.exchange(0, ordering: .relaxed)
    // Release — detach:R. The slot's next thread sees everything this one did. Pairs with attach:O.
    slot.state.isOwned.store(0, ordering: .releasing)
    abandoned.end()
    withExtendedLifetime(wakeFunction) {}
    letGo(keeper)
  }

  /// Has the slot keep an object for as long as its thread is attached. `isKeptByValue` says that a
  /// `LocalCPU` in the thread's frames keeps it as well.
  static func keep(_ keeper: any AnyObject & Sendable, isKeptByValue: Bool, _ slot: CPUSlot) {
    // Safety: one reference, which `letGo` gives back.
    let kept = unsafe UInt(bitPattern: Unmanaged<AnyObject>.passRetained(keeper).toOpaque())
    slot.owner.keeper.store(kept | (isKeptByValue ? 1 : 0), ordering: .relaxed)
  }

  /// Lets go of what a slot has kept: the slot's memory may go with it.
  private static func letGo(_ keeper: UInt) {
    guard let kept = unsafe UnsafeRawPointer(bitPattern: keeper & ~1) else { return }
    // Safety: the reference of `keep`.
    unsafe Unmanaged<AnyObject>.fromOpaque(kept).release()
  }

  #if ModelChecking
    /// How often; an exploration sets it before its bodies run.
    // Sendable: explorations run one at a time.
    final class Rounds: @unchecked Sendable { var count = 8 }
    static let rounds = Rounds()
    private static var detachRounds: Int { rounds.count }
  #else
    /// How often a thread that detaches goes back in for work that came meanwhile. What a flood of
    /// sends adds after that is dropped, and counted as gone.
    private static let detachRounds = 8
  #endif

  /// The calling thread ends, and has not detached: its scope was left by `pthread_exit`, perhaps inside
  /// a handler or a cross call, or a handle was forgotten.
  static func threadExits(_ slot: CPUSlot) {
    let tracker = ContextTracker(slot)
    // A slot that has another thread by now is that one's. In the child of a fork the thread has
    // another number.
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    guard reach.threadID == CurrentThread.id || Drain(slot).core.isForked else { return }
    guard let context = ContextWord(rawValue: tracker.ownContext).context, context != .offline
    else {
      return
    }
    Drain(slot).endTakenWork()
    // Whatever section the thread was in, it is over.
    slot.owner.special.store(0, ordering: .relaxed)
    tracker.endSection()
    Drain(slot).endServedCalls()
    _ = enterIfNeeded(slot, CallSite(#fileID, #line))
    // The `LocalCPU` was in a frame that nobody returns to.
    let keeper = slot.owner.keeper.load(ordering: .relaxed)
    detach(slot)
    if keeper & 1 != 0 { letGo(keeper) }
  }

  /// Drops what is left in the work word of a slot that nobody is attached to.
  static func abandonPending(_ slot: CPUSlot, _ core: CoordinatorCore) -> AbandonedCalls {
    // Acquire and release — withdraw:T. A take: whoever clears the bits accounts for them.
    var left =
      slot.state.work.exchange(0, ordering: .acquiringAndReleasing) & ~BuiltInWork
      .mask
    while left != 0 {
      slot.dropped[left.trailingZeroBitCount].wrappingAdd(1, ordering: .relaxed)
      left &= left &- 1
    }
    return Drain(core, slot).abandonCalls()
  }
}

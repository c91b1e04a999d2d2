// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension WorkType {
  /// The way of one sender to the CPUs of one coordinator: the library's own, without members for
  /// others.
  @frozen
  public struct SendPath {
    @usableFromInline let core: CoordinatorCore
    @usableFromInline let sender: SenderSlot
    /// What its sends to the caller's own CPU run in kernel.
    let inline: Inline

    init(core: CoordinatorCore, sender: SenderSlot, inline: Inline = .sent) {
      self.core = core
      self.sender = sender
      self.inline = inline
    }

    /// What a send to the caller's own CPU runs on the spot.
    @usableFromInline
    enum Inline {
      /// All that is pending: the sends of a `LocalCPU` or a `Sender`, which a signal handler cannot have.
      case all
      /// What is interrupt-safe: the sends that the library itself makes for a caller who is in no signal
      /// handler.
      case interruptSafe
      /// The work that is sent, if that is interrupt-safe: all others. The caller may be a signal handler
      /// that has interrupted a kernel section, and the section may hold what other work takes away.
      case sent
    }
  }
}

@usableFromInline typealias SendPath = WorkType.SendPath

// A trivially copyable bundle of addresses that lives for the call.
extension SendPath {
  /// The deferrable send: one OR on K, one look at W, one counter.
  ///
  /// Wait-free: no loop, whatever the target and other senders do.
  ///
  /// The argument, against `entry:W`/`entry:K`: we write K and then read W, the owner writes W and
  /// then reads K.
  /// - If our OR comes before the owner's look at K, that entry runs the work.
  /// - Else the owner's addition to W, which precedes that look, comes before our look at W: we see
  ///   kernel, answer `queued`, and promise nothing but the next safe point, exit or entry, which
  ///   finds the bit.
  /// A send that finds its bit set still needs this OR: it is what orders its datum before the take
  /// that will run it. A plain look would let the datum sit in the store buffer while the CPU takes
  /// the bit, on x86 too.
  @inlinable @inline(__always)
  func deliver(_ work: WorkType, to cpu: Int, from site: CallSite) -> SendOutcome {
    guard
      cpu >= 0, cpu < core.slots.count, work.type < BuiltInWork.calls,
      // Relaxed — send:R. A send that races with unregistration may slip in before it;
      // unregistration withdraws its bit.
      core.records[work.type].registration.load(ordering: .relaxed)
        == work.registration,
      work.care == 0
    else { return deliverSlow(work, to: cpu, urgency: .deferrable, from: site) }
    let slot = core.slots[cpu]
    // Sequentially consistent — send:O. Publishes the datum with the bit (release; pairs with
    // drain:T) and comes before the look at W. Dekker with entry:W/entry:K and leave:W.
    let wasPending = slot.state.work.setBit(work.type)
    // Sequentially consistent — send:L. After the OR. Pairs with entry:W.
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    // Counted after the OR: a store before a locked instruction has to drain first, and costs
    // 3 ns.
    guard
      word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue)
        && sender.flags.value.load(ordering: .relaxed) == 0
    else { return conclude(work, cpu, word, wasPending: wasPending, urgency: .deferrable, site) }
    let cell = sender.cell(target: cpu, type: work.type)
    if wasPending {
      cell.value.merged.countOne()
      return .merged
    }
    cell.value.deferredInUser.countOne()
    cell.value.note(site)
    return .deferred
  }

  /// Everything but the plain send to a CPU in user.
  @usableFromInline @inline(never)
  func deliverSlow(
    _ work: WorkType, to cpu: Int, urgency: WorkType.Urgency, from site: CallSite,
    payload: UInt64 = WorkType.Payload.everything.rawValue, isOneOfMany: Bool = false
  ) -> SendOutcome {
    guard cpu >= 0, cpu < core.slots.count else {
      core.refuseCPU(cpu, site)
    }
    guard
      work.type < BuiltInWork.calls,
      core.records[work.type].registration.load(ordering: .relaxed)
        == work.registration
    else {
      return .rejected(
        core.line.closed.load(ordering: .relaxed) != 0 ? .closed : .unregistered)
    }
    let slot = core.slots[cpu]
    switch work.form {
    case .bit: break
    case .catchUp:
      return catchUp(work, cpu, announce(work.type), urgency, site, isOneOfMany: isOneOfMany)
    case let form: merge(payload, into: slot, work.type, form)
    }
    if work.mergesWithoutWriting, urgency == .deferrable, isPendingInUser(slot, work.type) {
      count(sender.cell(target: cpu, type: work.type).value.merged)
      traceSend(.deferredWorkMerge, work, cpu, site)
      return .merged
    }
    // Sequentially consistent — send:O and send:L, as in `deliver`.
    let wasPending = slot.state.work.setBit(work.type)
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    return conclude(
      work, cpu, word, wasPending: wasPending, urgency: urgency, site, isOneOfMany: isOneOfMany)
  }

  /// Whether the CPU is in user with the bit set, asked so that the answer is worth having.
  ///
  /// - If the look at K sees the bit, its take is still to come, and since our fence is after our
  ///   datum, that take's handler sees the datum.
  /// - If the look at W after it says user, no section that began before our datum is still going
  ///   on.
  /// Without the fence the datum may sit in our store buffer while the bit that we saw is taken and
  /// run: lost, on x86 too.
  private func isPendingInUser(_ slot: CPUSlot, _ type: UInt64) -> Bool {
    #if CPUISOLATION_THREAD_SANITIZER
      // The sanitizer does not model fences, and would report the datum: there, every send writes.
      return false
    #else
      // Sequentially consistent fence — merge:F. Pairs with drain:T.
      fullFence()
      // Sequentially consistent — merge:K, then merge:W.
      let work = slot.state.work.load(ordering: .sequentiallyConsistent)
      guard work >> type & 1 != 0 else { return false }
      let word = slot.state.word.load(ordering: .sequentiallyConsistent)
      return word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue)
    #endif
  }

  /// Decides what a send means for a target in `word`, once the bit is set.
  @usableFromInline @inline(never)
  func conclude(
    _ work: WorkType, _ cpu: Int, _ word: UInt64, wasPending: Bool, urgency: WorkType.Urgency,
    _ site: CallSite, isOneOfMany: Bool = false
  ) -> SendOutcome {
    let slot = core.slots[cpu]
    let cell = sender.cell(target: cpu, type: work.type)
    let context = ContextWord(rawValue: word).contextIfThere ?? .kernel
    if context == .offline {
      if !core.isCPU(cpu) { core.refuseCPU(cpu, site) }
      count(cell.value.sent)
      // The bit stays: taking it back could take another's, sent to a thread that has attached
      // meanwhile. Whoever attaches next drops it, and until then it counts as gone.
      if wasPending { count(cell.value.gone) }
      return .gone
    }
    // Before a run, whatever becomes of that: a helper's thread may end inside it.
    let isDeferred =
      context == .user && urgency == .deferrable && !wasPending && work.form != .catchUp
    if wasPending {
      count(cell.value.merged)
    } else {
      if isDeferred { count(cell.value.deferredInUser) } else { count(cell.value.sent) }
      cell.value.note(site)
    }
    traceSend(wasPending ? .deferredWorkMerge : .deferredWorkSet, work, cpu, site)
    if isDeferred { return .deferred }

    if CurrentThread.isThread(of: slot) {
      return concludeToSelf(work, slot, cell, wasPending: wasPending, context: context)
    }
    if urgency == .immediate {
      let before = core.traceTime(of: .ipiSendCPU)
      if Kick.send(to: slot) {
        count(cell.value.interrupted)
        if !isOneOfMany {
          core.traceIPI(to: cpu, from: site, core.traceAddress(ofWork: work.type), at: before)
        }
        return .interrupted
      }
      if !wasPending { count(cell.value.queued) }
      return wasPending ? .merged : .queued
    }
    if urgency == .onBehalf, context.acceptsDeferral,
      core.line.onBehalf.load(ordering: .relaxed) >> work.type & 1 != 0,
      Self.mayHelp,
      Drain(core, slot).drainOnBehalf(1 << work.type, helper: CurrentThread.id) == .ran
    {
      if !wasPending { count(cell.value.ranOnBehalf) }
      return .ranOnBehalf
    }
    if context.acceptsDeferral {
      let isHousekeeper =
        Reach(rawValue: slot.state.reach.load(ordering: .relaxed)).isHousekeeping
      if context == .idle, isHousekeeper {
        if !wasPending { count(cell.value.queued) }
        Kick.wakeIfIdle(slot)
        return wasPending ? .merged : .queued
      }
      if wasPending { return .merged }
      countDeferral(work, cell)
      return .deferred
    }
    if wasPending { return .merged }
    count(cell.value.queued)
    return .queued
  }

  /// Records a send, if sends are recorded.
  func traceSend(_ event: TraceEvent, _ work: WorkType, _ cpu: Int, _ site: CallSite) {
    guard
      sender.flags.value.load(ordering: .relaxed) & SenderFlags.traced != 0,
      core.isTraced(event)
    else { return }
    core.trace(
      event, UInt64(cpu), core.traceAddress(ofWork: work.type),
      CoordinatorCore.traceAddress(of: site))
  }

  /// A send to the caller's own CPU.
  ///
  /// It may come from a signal handler of the program, between any two instructions of the thread.
  /// There only what it sends runs, if that is interrupt-safe, and nothing before what the thread has taken
  /// or what a drain would run earlier:
  /// - Between an entry's take and its drain, and while a drain runs, `draining` is set: the drain
  ///   looks once more.
  /// - Between the halves of a transition the owner's copy says another context than W: the thread
  ///   goes on, and its next look at K finds the bit.
  private func concludeToSelf(
    _ work: WorkType, _ slot: CPUSlot, _ cell: Place<SenderCell>, wasPending: Bool,
    context: CPUContext
  ) -> SendOutcome {
    if context != .kernel {
      if wasPending { return .merged }
      countDeferral(work, cell)
      return .deferred
    }
    let special = slot.owner.special.load(ordering: .relaxed)
    // Acquire — drain:I, as in the drain of a signal handler.
    let isSafe = core.line.interruptSafe.load(ordering: .acquiring) >> work.type & 1 != 0
    let drain = Drain(core, slot)
    guard special & OwnerFlags.inHandler == 0, inline == .all || isSafe,
      ContextTracker(slot).ownContext == UInt64(CPUContext.kernel.rawValue),
      inline != .sent || drain.isNothingPending(before: work.type)
    else {
      // Inside a handler: the round that runs now has taken its bits already.
      if wasPending { return .merged }
      count(cell.value.queued)
      return .queued
    }
    if !wasPending { count(cell.value.ranInline) }
    switch inline {
    case .all: drain.drainPending()
    case .interruptSafe:
      // Acquire — drain:I, as above.
      drain.drainInterruptSafe(core.line.interruptSafe.load(ordering: .acquiring))
    case .sent: drain.drainInterruptSafe(1 << work.type)
    }
    return .ranInline
  }

  /// A helper that is an isolated CPU in user would let its own signal handler wait for a pin while
  /// it holds one: two such helpers could wait for each other.
  private static var mayHelp: Bool {
    guard let own = CurrentThread.slot else { return true }
    return ContextTracker(own).ownContext == UInt64(CPUContext.kernel.rawValue)
  }

  /// Counts a send whose bit waits for the target to enter. `deferred` of a catch-up type is what left no bit: what did is
  /// counted when the bit runs, and once.
  private func countDeferral(_ work: WorkType, _ cell: Place<SenderCell>) {
    if work.form == .catchUp {
      count(cell.value.queued)
    } else {
      count(cell.value.deferred)
    }
  }

  /// Adds one to a counter of this sender.
  @inline(__always)
  func count(_ counter: borrowing SharedWord) {
    let flags = sender.flags.value.load(ordering: .relaxed)
    if flags & SenderFlags.shared != 0 {
      counter.wrappingAdd(1, ordering: .relaxed)
    } else {
      if flags & SenderFlags.unused != 0 { noteUse() }
      counter.countOne()
    }
  }

  /// A sender counts for the first time. The tracer writes the flags too.
  @inline(never)
  private func noteUse() {
    sender.flags.value.bitwiseAnd(~SenderFlags.unused, ordering: .relaxed)
  }
}

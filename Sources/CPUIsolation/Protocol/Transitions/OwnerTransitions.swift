// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// The owner's transitions: the fast halves are inlined; the slow ones, where something is pending,
/// nested, sanitized or wrong, never are.
@usableFromInline
enum OwnerTransitions {
  /// Enters kernel and runs what was pending.
  @inlinable @inline(__always)
  static func enter(
    _ slot: CPUSlot, _ core: CoordinatorCore, from context: CPUContext, forSection: Bool = false,
    _ site: CallSite = CallSite(#fileID, #line)
  ) {
    switch ContextTracker(slot).enterKernel(
      from: context, forSection: forSection, comparing: core.summary)
    {
    case .clear: break
    case .taken(let bits): drainTaken(slot, core, bits)
    case .special: enterSlow(slot, from: context, site)
    }
  }

  /// Leaves kernel, and goes back in at once if attention was asked for meanwhile.
  @inlinable @inline(__always)
  static func leave(
    _ slot: CPUSlot, to context: CPUContext, fromSection: Bool = false,
    _ site: CallSite = CallSite(#fileID, #line)
  ) {
    let tracker = ContextTracker(slot)
    if !tracker.leaveKernel(to: context, fromSection: fromSection) {
      leaveSlow(slot, to: context, fromSection: fromSection, site)
    } else if tracker.isAttentionWanted {
      serveOutside(slot, in: context)
    }
  }

  /// Runs what is pending, in kernel.
  @inlinable @inline(__always)
  static func safePoint(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    // Relaxed — drain:L, a hint.
    if slot.state.work.load(ordering: .relaxed) != 0 { safePointSlow(slot, site) }
  }

  /// Runs what an entry took.
  @usableFromInline @inline(never)
  static func drainTaken(_ slot: CPUSlot, _ core: CoordinatorCore, _ bits: UInt64) {
    let drain = Drain(core, slot)
    // The flags were empty, or the entry would have been special; it has set `draining`. No bits: a
    // helper, or an unregistration, was faster than the take after our look.
    if bits == 0 { return slot.owner.special.store(0, ordering: .relaxed) }
    if !drain.drainOne(bits) { drain.run(taken: bits, 0) }
  }

  /// After an entry that found something. The word says kernel, unless the entry was a mistake.
  @usableFromInline @inline(never)
  static func enterSlow(
    _ slot: CPUSlot, from context: CPUContext, _ site: CallSite = CallSite(#fileID, #line)
  ) {
    let found = slot.owner.word.load(ordering: .relaxed) & ContextWord.contextMask
    if found != 0 {
      let before = CPUContext(
        rawValue: UInt8((found &+ UInt64(context.rawValue)) & ContextWord.contextMask))
      misuse(
        "CPU \(number(slot)) entered kernel from \(context), but it was in \(before?.description ?? "no context")",
        site.file, site.line)
    }
    if context == .user,
      slot.owner.special.load(ordering: .relaxed) & OwnerFlags.sanitized != 0
    {
      cpi_realtime_exit()
    }
    if context == .user { trace(.contextUserExit, slot) }
    Drain(slot).drainPending()
  }

  /// Records a transition, in kernel.
  static func trace(_ event: TraceEvent, _ slot: CPUSlot) {
    guard slot.owner.traced.load(ordering: .relaxed) & event.bit != 0 else { return }
    let word = ContextWord(rawValue: slot.owner.word.load(ordering: .relaxed))
    Drain(slot).core.trace(event, word.counter())
  }

  /// An exit that found something before it left.
  @usableFromInline @inline(never)
  static func leaveSlow(
    _ slot: CPUSlot, to context: CPUContext, fromSection: Bool, _ site: CallSite
  ) {
    let tracker = ContextTracker(slot)
    if fromSection { tracker.endSection() }
    requirePlainKernel(slot, "leave kernel", site)
    Drain(slot).drainPending()
    if context == .user { trace(.contextUserEnter, slot) }
    let sanitized =
      slot.owner.special.load(ordering: .relaxed) & OwnerFlags.sanitized != 0
    tracker.publish(
      slot.owner.word.load(ordering: .relaxed) &+ ContextWord.exit(to: context))
    if sanitized, context == .user { cpi_realtime_enter() }
    if tracker.isAttentionWanted { serveOutside(slot, in: context) }
  }

  /// A full entry, drain and exit, again while a thread asks for attention, but a few times at most:
  /// work that asks for more of itself each time it runs would keep the loop from going on. What is
  /// left is found by the next poll or entry.
  @usableFromInline @inline(never)
  static func serveOutside(_ slot: CPUSlot, in context: CPUContext) {
    let tracker = ContextTracker(slot)
    let special = slot.owner.special.load(ordering: .relaxed)
    var visits = 0
    repeat {
      visits += 1
      enter(slot, Drain(slot).core, from: context)
      if context == .user { trace(.contextUserEnter, slot) }
      tracker.publish(
        slot.owner.word.load(ordering: .relaxed) &+ ContextWord.exit(to: context))
      if context == .user, special & OwnerFlags.sanitized != 0 { cpi_realtime_enter() }
    } while tracker.isAttentionWanted && visits < Drain.visits
  }

  @usableFromInline @inline(never)
  static func pollSlow(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    switch ContextWord(rawValue: ContextTracker(slot).ownContext).context {
    case .kernel: safePointSlow(slot, site)
    case .user: serveOutside(slot, in: .user)
    case .guest: serveOutside(slot, in: .guest)
    default: misuse("CPU \(number(slot)) polled outside user and kernel", site.file, site.line)
    }
  }

  @usableFromInline @inline(never)
  static func safePointSlow(_ slot: CPUSlot, _ site: CallSite) {
    if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
      misuse("CPU \(number(slot)) declared a safe point outside kernel", site.file, site.line)
    }
    // Inside a handler the round that runs now is followed by another look.
    let special = slot.owner.special.load(ordering: .relaxed)
    if special & OwnerFlags.inHandler == 0 { Drain(slot).drainPending() }
  }

  /// Runs what is pending, in kernel, and says that nothing is held.
  @inlinable @inline(__always)
  static func quiescent(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    // Relaxed: the owner's own words; drain:L, a hint.
    let special =
      slot.owner.word.load(ordering: .relaxed) & ContextWord.plainKernelMask
      | slot.owner.special.load(ordering: .relaxed)
      | slot.state.work.load(ordering: .relaxed)
    if special != 0 || CurrentThread.isHelping { beforeQuiescent(slot, site) }
    ContextTracker(slot).declareQuiescent()
  }

  /// What a quiescent state may not say yet.
  @usableFromInline @inline(never)
  static func beforeQuiescent(_ slot: CPUSlot, _ site: CallSite) {
    requirePlainKernel(slot, "declare a quiescent state", site)
    if slot.state.work.load(ordering: .relaxed) != 0 { Drain(slot).drainPending() }
  }

  /// Leaves to idle, sleeps unless something came, and enters.
  static func idle(
    _ slot: CPUSlot, until deadline: Deadline, _ site: CallSite = CallSite(#fileID, #line)
  ) {
    requirePlainKernel(slot, "become idle", site)
    // Work that was there already runs, and ends the call: it may be what the caller's loop waits
    // for.
    if slot.state.work.load(ordering: .relaxed) != 0 {
      Drain(slot).drainPending()
      return
    }
    if publishIdle(slot) { slot.call.parker.park(until: deadline) }
    enter(slot, Drain(slot).core, from: .idle)
  }

  /// Publishes idle. True if the thread may sleep.
  static func publishIdle(_ slot: CPUSlot) -> Bool {
    let tracker = ContextTracker(slot)
    let isHousekeeper =
      Reach(rawValue: slot.state.reach.load(ordering: .relaxed)).isHousekeeping
    tracker.leaveKernelFenced(to: .idle)
    // Sequentially consistent — leave:K. Dekker with send:O and kick:W: a bit that this look misses
    // was set by a sender that sees idle, and unparks.
    let pending = slot.state.work.load(ordering: .sequentiallyConsistent)
    // What may wait does not end an isolated CPU's sleep; a cross call does, also one that no
    // signal announces.
    let wakes = isHousekeeper ? pending : pending & BuiltInWork.mask
    return wakes == 0
  }

  /// Begins a kernel section that is not entered from user alone: one inside another, or in guest.
  /// Returns the context outside.
  @usableFromInline @inline(never)
  static func beginSection(
    _ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)
  ) -> CPUContext {
    let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
    switch context {
    case .kernel?:
      let special = slot.owner.special.load(ordering: .relaxed)
      slot.owner.special.store(special &+ OwnerFlags.depth, ordering: .relaxed)
      return .kernel
    case .user?, .guest?:
      enter(slot, Drain(slot).core, from: context!, forSection: true)
      return context!
    default:
      misuse(
        "CPU \(number(slot)) began a kernel section while it was not running", site.file, site.line)
    }
  }

  /// Ends it.
  @usableFromInline @inline(never)
  static func endSection(_ slot: CPUSlot, _ outside: CPUContext) {
    if outside != .kernel { return leave(slot, to: outside, fromSection: true) }
    let special = slot.owner.special.load(ordering: .relaxed)
    slot.owner.special.store(special &- OwnerFlags.depth, ordering: .relaxed)
  }

  /// Has the calling thread say kernel where it is a CPU in user or guest, so that signals leave it
  /// alone, and runs nothing. Gives what has to be undone.
  static func shutOutInterrupts() -> (slot: CPUSlot, outside: CPUContext)? {
    guard let slot = CurrentThread.slot else { return nil }
    let tracker = ContextTracker(slot)
    let outside = ContextWord(rawValue: tracker.ownContext).context
    guard let outside, outside == .user || outside == .guest else { return nil }
    _ = tracker.enterKernelTakingNothing(from: outside)
    // As after every entry: a grace period that finds kernel here takes the exit for the end of what
    // a helper had begun, too.
    Drain(slot).waitWhilePinned()
    return (slot, outside)
  }

  /// Undoes it, and runs what was asked for at once meanwhile.
  static func admitInterrupts(_ state: (slot: CPUSlot, outside: CPUContext)) {
    let (slot, outside) = state
    let tracker = ContextTracker(slot)
    tracker.publish(
      slot.owner.word.load(ordering: .relaxed) &+ ContextWord.exit(to: outside))
    if tracker.isAttentionWanted { serveOutside(slot, in: outside) }
  }

  /// Traps unless the CPU is in kernel, outside handlers and nested sections.
  @inline(__always)
  static func requirePlainKernel(_ slot: CPUSlot, _ action: StaticString, _ site: CallSite) {
    // Relaxed: the owner's own words.
    let word = slot.owner.word.load(ordering: .relaxed)
    let special = slot.owner.special.load(ordering: .relaxed)
    if word & (ContextWord.contextMask | ContextWord.section) != UInt64(CPUContext.kernel.rawValue)
      || special & (OwnerFlags.inHandler | OwnerFlags.depthMask) != 0 || CurrentThread.isHelping
    {
      refuse(slot, action, word, special, site)
    }
  }

  @inline(never)
  private static func refuse(
    _ slot: CPUSlot, _ action: StaticString, _ word: UInt64, _ special: UInt64, _ site: CallSite
  ) -> Never {
    let context = word & ContextWord.contextMask
    if context != UInt64(CPUContext.kernel.rawValue) {
      let name = ContextWord(rawValue: context).context?.description ?? "no context"
      misuse("CPU \(number(slot)) cannot \(action): it is in \(name)", site.file, site.line)
    }
    if special & OwnerFlags.inHandler != 0 || CurrentThread.isHelping {
      misuse("CPU \(number(slot)) cannot \(action) inside a handler", site.file, site.line)
    }
    misuse(
      "CPU \(number(slot)) cannot \(action) inside a nested kernel section", site.file, site.line)
  }

  /// Traps unless the calling thread is the CPU's.
  @inlinable @inline(__always)
  static func requireOwner(_ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)) {
    if !isOwner(slot) { refuseOthers(slot, site) }
  }

  /// The look alone: a caller outside the module hands over no more than the slot.
  @usableFromInline
  static func isOwner(_ slot: CPUSlot) -> Bool { CurrentThread.isThread(of: slot) }

  /// Traps unless the calling thread is the CPU's, whose `LocalCPU` ends.
  static func requireOwnEnd(
    _ slot: CPUSlot, _ site: CallSite = CallSite(#fileID, #line)
  ) {
    if CurrentThread.isThread(of: slot) { return }
    // Safety: the address is not looked into.
    let isThere = unsafe cpi_is_mapped(slot.base.pointer)
    let name = isThere ? "the LocalCPU of CPU \(number(slot))" : "a LocalCPU"
    misuse(
      "\(name) ended on a thread that is not attached to it: it was carried over an await, or sent",
      site.file, site.line)
  }

  @usableFromInline
  static func refuseOthers(_ slot: CPUSlot, _ site: CallSite) -> Never {
    // Safety: the address is not looked into. A handle may be older than its coordinator's end.
    let isThere = unsafe cpi_is_mapped(slot.base.pointer)
    if !isThere {
      misuse("a CPUHandle was used whose coordinator is gone", site.file, site.line)
    }
    misuse(
      "CPU \(number(slot)) was used by a thread that is not attached to it", site.file, site.line)
  }

  @inlinable @inline(__always)
  static func number(_ slot: CPUSlot) -> Int {
    Int(truncatingIfNeeded: slot.owner.number.load(ordering: .relaxed))
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Runs what is pending for one CPU: the slow half of entry, exit, safe points, interrupts and
/// help.
///
/// A drain takes the bits by one exchange *before* it runs them, so work that arrives while it runs
/// sets its bit again and is not lost. It runs exactly what the exchange returned, never what an
/// earlier look saw.
struct Drain {
  let core: CoordinatorCore
  let slot: CPUSlot
  let cpu: Int

  init(_ core: CoordinatorCore, _ slot: CPUSlot) {
    self.core = core
    self.slot = slot
    cpu = Int(truncatingIfNeeded: slot.owner.number.load(ordering: .relaxed))
  }

  /// For code that has nothing but the slot: callback handles and signal handlers.
  init(_ slot: CPUSlot) {
    self.slot = slot
    // A slot's memory names its coordinator from initialisation on.
    // Safety: as said.
    core = unsafe CoordinatorCore(
      base: Address(at: slot.owner.core.load(ordering: .relaxed)).unsafelyUnwrapped)
    cpu = Int(truncatingIfNeeded: slot.owner.number.load(ordering: .relaxed))
  }

  /// How many times one visit looks at K. What arrives during the last round stays in K and is
  /// found at the next safe point, exit or entry: a flood of sends cannot keep a CPU in its drain.
  static let rounds = 2

  /// How many times in a row a CPU outside kernel goes in for attention that is asked for meanwhile.
  static let visits = 4

  /// Drains everything that is pending. The CPU is in kernel, and this is its thread.
  func drainPending() {
    waitWhilePinned()
    let special = beginDraining()
    let lagging = compareSummary()
    // Relaxed — drain:L, a hint: the exchange decides.
    let isPending = slot.state.work.load(ordering: .relaxed) != 0
    guard isPending || lagging != 0 else { return endDraining(special) }
    run(taken: isPending ? take() : 0, lagging: lagging, special)
  }

  /// Says that a drain runs, before it takes anything: a signal handler of the program that sends to
  /// this CPU must run nothing before what has been taken. Returns what to put back.
  private func beginDraining() -> UInt64 {
    let special = slot.owner.special.load(ordering: .relaxed)
    slot.owner.special.store(special | OwnerFlags.draining, ordering: .relaxed)
    // Release fence — drain:D. Before the take that follows, as a signal handler of this thread sees
    // it; no instruction on x86-64. Pairs with none: it is the same thread.
    releaseFence()
    return special
  }

  private func endDraining(_ special: UInt64) {
    slot.owner.special.store(special, ordering: .relaxed)
  }

  /// Runs one bit that an entry took, if it is one, with nothing but what that needs: the case that
  /// matters most. Every register saved here would be a store before the next locked
  /// instruction.
  @inline(__always)
  func drainOne(_ taken: UInt64) -> Bool {
    guard taken & (taken &- 1) | taken & BuiltInWork.mask == 0,
      core.line.drainFlags.load(ordering: .relaxed) == 0
    else { return false }
    // Acquire — drain:V, as in `run`.
    let live = core.line.live.load(ordering: .acquiring)
    runHandler(
      UInt64(truncatingIfNeeded: taken.trailingZeroBitCount), live: live, OwnerFlags.draining)
    slot.owner.special.store(0, ordering: .relaxed)
    // Relaxed — drain:L, a hint, for the second round.
    if slot.state.work.load(ordering: .relaxed) != 0 { drainPending() }
    return true
  }

  /// Runs what an entry, or `take`, took, and the catch-up types that lag, and looks once more. A drain
  /// runs already according to the flags; `special` is what they were before.
  @inline(never)
  func run(taken first: UInt64, lagging: UInt64 = 0, _ special: UInt64) {
    var taken = first
    var all: UInt64 = 0
    for round in 1...Self.rounds {
      run(taken & ~BuiltInWork.mask, special, lagging: round == 1 ? lagging : 0)
      all |= taken
      // Relaxed — drain:L, as above.
      if round == Self.rounds || slot.state.work.load(ordering: .relaxed) == 0 {
        break
      }
      taken = take()
    }
    endDraining(special)
    if all >> BuiltInWork.calls & 3 != 0 { serveCalls(interruptSafeOnly: false, special) }
  }

  private func take() -> UInt64 {
    // Acquire — drain:T. Pairs with send:O: a send whose bit we take has published its datum. It
    // comes before the handlers: a bit set after it stays for the next round.
    let taken = slot.state.work.exchange(0, ordering: .acquiring)
    // Sequentially consistent fence — drain:T. Off x86-64 it holds the handlers' loads after the
    // take.
    fullFenceAfterExchange()
    return taken
  }

  /// Drains what may run in a signal handler of this thread: the library's own, which has made the CPU
  /// enter kernel and serves its calls.
  func drainInterruptSafe() {
    // Acquire — drain:I. The set of safe types was written before any of them could be sent.
    let safe = core.line.interruptSafe.load(ordering: .acquiring)
    drainInterruptSafe(safe | 1 << BuiltInWork.calls | BuiltInWork.attentionMask)
  }

  /// Drains those of a set.
  func drainInterruptSafe(_ safe: UInt64) {
    waitWhilePinned()
    let special = beginDraining()
    // The thread's own next entry compares again, for the types that have to wait for it.
    run(0, special, lagging: lagging(among: safe))
    for _ in 0..<Self.rounds {
      guard slot.state.work.load(ordering: .relaxed) & safe != 0 else { break }
      // Acquire — drain:T, as above; the other bits stay for the next entry.
      let taken =
        slot.state.work.bitwiseAnd(~safe, ordering: .acquiring).oldValue & safe
      fullFenceAfterExchange()
      run(taken & ~BuiltInWork.mask, special)
      if taken >> BuiltInWork.calls & 1 != 0 {
        endDraining(special)
        serveCalls(interruptSafeOnly: true, special)
        _ = beginDraining()
      }
    }
    endDraining(special)
  }

  /// Runs the handlers of the bits that were taken and of the types that lag, in drain order.
  private func run(_ bits: UInt64, _ special: UInt64, lagging: UInt64 = 0) {
    let types = bits | lagging
    if types == 0 { return }
    // Acquire — drain:V. After the take: a type that is still live here cannot have its handler
    // freed before this CPU has left kernel or passed a safe point. Pairs with unregister:V.
    let live = core.line.live.load(ordering: .acquiring)
    let flags = core.line.drainFlags.load(ordering: .relaxed)
    let start = flags & DrainFlags.times != 0 ? cpi_cycles() : 0
    let draining = special | OwnerFlags.draining
    slot.owner.inHand.store(bits | OwnerFlags.hand, ordering: .relaxed)
    if types & (types &- 1) == 0 {
      runHandler(
        UInt64(types.trailingZeroBitCount), live: live, draining, isBit: bits != 0,
        traces: flags & DrainFlags.traces != 0)
    } else {
      let early = core.line.early.load(ordering: .relaxed)
      let late = core.line.late.load(ordering: .relaxed)
      runHandlers(types & early, live: live, draining, bits: bits)
      runHandlers(types & ~early & ~late, live: live, draining, bits: bits)
      runHandlers(types & late, live: live, draining, bits: bits)
    }
    slot.owner.inHand.store(0, ordering: .relaxed)
    slot.owner.special.store(draining, ordering: .relaxed)
    if flags & DrainFlags.times != 0 {
      slot.owner.longestDrain.raise(to: cpi_cycles() &- start)
    }
  }

  func runHandlers(_ types: UInt64, live: UInt64, _ draining: UInt64?, bits: UInt64) {
    let flags = core.line.drainFlags.load(ordering: .relaxed)
    var left = types
    while left != 0 {
      runHandler(
        UInt64(left.trailingZeroBitCount), live: live, draining,
        isBit: bits >> UInt64(left.trailingZeroBitCount) & 1 != 0,
        traces: flags & DrainFlags.traces != 0)
      if draining != nil {
        let bit = left & (0 &- left)
        let inHand = slot.owner.inHand.load(ordering: .relaxed)
        slot.owner.inHand.store(inHand & ~bit, ordering: .relaxed)
      }
      left &= left &- 1
    }
  }

  /// Settles the work that the thread has taken and will never run to its end, since it ends inside a
  /// handler: it is gone.
  func endTakenWork() {
    let special = slot.owner.special.load(ordering: .relaxed)
    let inHand = slot.owner.inHand.exchange(0, ordering: .relaxed)
    guard special & OwnerFlags.draining != 0 else { return }
    var left = inHand & ~OwnerFlags.hand
    // Drained straight from an entry: the one that runs.
    if inHand == 0, let type = OwnerFlags.runningType(special), type < BuiltInWork.calls {
      left = 1 << UInt64(type)
    }
    while left != 0 {
      slot.dropped[left.trailingZeroBitCount].wrappingAdd(1, ordering: .relaxed)
      left &= left &- 1
    }
  }

  /// Runs one type for this CPU, whoever the caller is: its thread or its signal handler, which say
  /// what to show in `special` meanwhile, or a helper with the pin, which must not write there.
  @inline(__always)
  private func runHandler(
    _ type: UInt64, live: UInt64, _ draining: UInt64?, isBit: Bool = true, traces: Bool = false
  ) {
    let index = Int(truncatingIfNeeded: type)
    guard live >> type & 1 != 0 else {
      if isBit { slot.dropped[index].wrappingAdd(1, ordering: .relaxed) }
      return
    }
    // Acquire — drain:G. After the take and before the run: a ticket that drew a generation up to
    // this one set its bit, or finds it set, before our take, or its bit is still to come and its
    // generation is not in here. Pairs with ticket:G. Loaded once: what comes later is not covered.
    let generation = core.generations[type].load(ordering: .acquiring)
    if core.records[type].form != .bit {
      return runHandlerWithArgument(type, generation, draining, isBit: isBit, traces: traces)
    }
    if let draining {
      slot.owner.special.store(
        draining | OwnerFlags.running(type), ordering: .relaxed)
    }
    core.records[type].handler.run(on: cpu)
    slot.executed[index].countOne()
    if traces { traceDrain(type) }
    noteAge(index)
    // Release — drain:A. After the run: whoever sees the generation sees what the handler did.
    // Pairs with ticket:A.
    slot.applied[index].store(generation, ordering: .releasing)
  }

  @inline(never)
  func traceDrain(_ type: UInt64) {
    let since = slot.pendingSince[Int(type)].load(ordering: .relaxed)
    let now = core.clock.value.load(ordering: .relaxed)
    core.trace(
      .deferredWorkDrain, UInt64(cpu), core.traceAddress(ofWork: type),
      since == 0 || now < since ? 0 : now - since)
  }

  /// Counts how long the bit had been pending, as far as the watchdog's coarse look tells.
  func noteAge(_ type: Int) {
    let since = slot.pendingSince[type].load(ordering: .relaxed)
    if since == 0 {
      slot.ages(ofType: type)[0].countOne()
      return
    }
    slot.pendingSince[type].store(0, ordering: .relaxed)
    let now = core.clock.value.load(ordering: .relaxed)
    slot.ages(ofType: type)[
      CPUSlot.ageBucket(ofNanoseconds: now > since ? now - since : 1)
    ]
    .countOne()
  }

  /// Waits until no helper runs this CPU's work.
  ///
  /// Blocking: for as long as the helper's handler runs, which is bounded by the handler's
  /// contract; the watchdog names the helper if it is not.
  func waitWhilePinned() {
    // Acquire — entry:P. Pairs with onBehalf:U.
    guard slot.state.pin.load(ordering: .acquiring) != 0 else { return }
    var backoff = Backoff()
    while true {
      let pin = slot.state.pin.load(ordering: .acquiring)
      if pin == 0 { return }
      // Relaxed: a helper that pins later has seen us leave.
      if pin == Self.endedHelper { return slot.state.pin.store(0, ordering: .relaxed) }
      // A helper that is not in the child of a fork lets go of nothing there.
      if core.isForked, !CurrentThread.isAlive(Int32(truncatingIfNeeded: pin)) {
        return slot.state.pin.store(0, ordering: .relaxed)
      }
      backoff.wait()
    }
  }
}

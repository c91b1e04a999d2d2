// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The transitions of a CPU: the atomics round `ContextWord`.
///
/// Each function is called by the owner alone, or by its own signal handler.
@frozen @usableFromInline
struct ContextTracker {
  @usableFromInline let slot: CPUSlot

  @inlinable @inline(__always)
  init(_ slot: CPUSlot) { self.slot = slot }

  /// What an entry found.
  @frozen @usableFromInline
  enum Entry {
    /// Nothing is pending.
    case clear
    /// These bits were pending, and have been taken: whoever made the entry has to run them.
    case taken(UInt64)
    /// Something needs a closer look: a catch-up type has moved, a helper holds the pin, a flag is
    /// set, or the CPU was not in that context.
    case special
  }

  /// Entry: makes the CPU visible as being in kernel, then looks whether anything is pending, and
  /// takes it.
  ///
  /// The transition is made whatever the answer. Nothing protected may be touched before what was
  /// taken has run.
  ///
  /// The argument against a sender (`send:O`, `send:L`): both sides write one word and then read
  /// the other's.
  /// - If the sender's OR on K comes first, our look at K (`entry:K`) sees the bit, and we drain
  ///   it.
  /// - If our addition to W comes first, the sender's look at W (`send:L`) says kernel, and it does
  ///   not promise that we have to enter before we can see anything.
  /// - Both cannot miss each other: the four accesses are sequentially consistent.
  ///
  /// The same against a catch-up sender (`catchUp:S`, `catchUp:W`), with the `summary` in K's place:
  /// it counts up before it looks at W, we move W before we look at the summary.
  @inlinable @inline(__always)
  func enterKernel(
    from context: CPUContext, forSection: Bool = false, comparing summary: Place<SharedWord>
  ) -> Entry {
    // What the addition will find, unless a signal handler makes a round trip in between. The copy below
    // and the exit take it from here: what comes out of a locked instruction comes late, and the next
    // one would wait for the store of it.
    let copy = slot.owner.word.load(ordering: .relaxed)
    // Sequentially consistent — entry:W. Dekker with send:O/send:L; also the acquire side of a
    // grace period: what is protected is loaded after it. Pairs with gracePeriod:S. One locked
    // instruction: it is the barrier.
    let old = slot.state.word.wrappingAdd(
      ContextWord.entry(from: context), ordering: .sequentiallyConsistent
    ).oldValue
    // Sequentially consistent — entry:K. On x86-64 a plain load, ordered by the addition above. On
    // arm64 LDAR, which after a store-release read-modify-write is the barrier for everything that
    // follows; an acquiring load would become LDAPR there and let later loads pass the addition. By
    // the letter of C11 it does not order later relaxed loads: an architecture that is neither
    // needs a fence here.
    let pending = slot.state.work.load(ordering: .sequentiallyConsistent)
    // Relaxed — entry:S. Dekker with catchUp:S/catchUp:W: it must come after the addition, which the
    // sequentially consistent pair above sees to. "Catch up, then publish kernel" would leave what
    // is sent in between to nobody. If it has moved, the slow path loads it again (catchUp:C).
    let generation = summary.value.load(ordering: .relaxed)
    // Acquire — entry:P. Pairs with onBehalf:U: what a helper did before it let go is seen by us.
    // It must come after the addition, which the sequentially consistent pair above sees to.
    let pin = slot.state.pin.load(ordering: .acquiring)
    let special =
      pin | slot.owner.special.load(ordering: .relaxed)
      | slot.owner.traced.load(ordering: .relaxed)
      | (generation ^ slot.owner.caughtUp.load(ordering: .relaxed))
      | (old ^ copy) | (copy & ContextWord.contextMask ^ UInt64(context.rawValue))
    let step = ContextWord.entry(from: context) &+ (forSection ? ContextWord.section : 0)
    if pending | special == 0 {
      slot.owner.word.store(copy &+ step, ordering: .relaxed)
      return .clear
    }
    if special != 0 {
      slot.owner.word.store(old &+ step, ordering: .relaxed)
      return .special
    }
    // Acquire — drain:T, here and not in the slow path: two locked instructions in a row cost half
    // of two with stores between them. Pairs with send:O.
    let taken = slot.state.work.exchange(0, ordering: .acquiring)
    // Sequentially consistent fence — drain:T. Off x86-64 it holds the handlers' loads after the
    // take.
    fullFenceAfterExchange()
    slot.owner.special.store(OwnerFlags.draining, ordering: .relaxed)
    // Release — entry:D. After `draining`: a signal handler of this thread that finds kernel here finds
    // that a drain runs, and runs nothing before what is taken. Pairs with none: it is the same thread.
    slot.owner.word.store(copy &+ step, ordering: .releasing)
    return .taken(taken)
  }

  /// Entry that takes nothing, for a signal handler, which may run but a part of it. Returns what
  /// is pending.
  func enterKernelTakingNothing(from context: CPUContext) -> UInt64 {
    // Sequentially consistent — entry:W, as above.
    let new = slot.state.word.wrappingAdd(
      ContextWord.entry(from: context), ordering: .sequentiallyConsistent
    ).newValue
    slot.owner.word.store(new, ordering: .relaxed)
    // Sequentially consistent — entry:K, as above.
    return slot.state.work.load(ordering: .sequentiallyConsistent)
  }

  /// Exit: leaves kernel unless something is pending.
  ///
  /// False: nothing has been done, the slow path drains, diagnoses or leaves. The look at K is
  /// promptness alone: a bit that comes after it waits in K, and the next entry finds it.
  @inlinable @inline(__always)
  func leaveKernel(to context: CPUContext, fromSection: Bool = false) -> Bool {
    let word =
      slot.owner.word.load(ordering: .relaxed) ^ (fromSection ? ContextWord.section : 0)
    let special =
      slot.owner.special.load(ordering: .relaxed)
      | slot.owner.traced.load(ordering: .relaxed)
    // Relaxed — exit:K, a hint.
    let pending = slot.state.work.load(ordering: .relaxed)
    guard pending | special | (word & ContextWord.plainKernelMask) == 0 else { return false }
    publish(word &+ ContextWord.exit(to: context))
    return true
  }

  /// The store that ends a kernel section.
  @inlinable @inline(__always)
  func publish(_ next: UInt64) {
    slot.owner.word.store(next, ordering: .relaxed)
    // Release — exit:W. Everything done in kernel is visible to whoever sees that we have left.
    // Pairs with gracePeriod:S and onBehalf:W.
    slot.state.word.store(next, ordering: .releasing)
  }

  /// Whether somebody asked for attention that a signal could not give, since it came while we were
  /// still in kernel.
  ///
  /// Asked right after `publish`. If the signal came before the store to W, its handler left
  /// everything to us, and since it ran on this thread after the sender's OR, this load sees the
  /// bit. If it came after the store, the handler saw user and did the work.
  @inlinable @inline(__always)
  var isAttentionWanted: Bool {
    // Relaxed — exit:A. Ordered against the handler by being on the same thread.
    slot.state.work.load(ordering: .relaxed) & BuiltInWork.attentionMask != 0
  }

  /// The context as the owner sees it.
  @inlinable @inline(__always)
  var ownContext: UInt64 {
    slot.owner.word.load(ordering: .relaxed) & ContextWord.contextMask
  }

  /// Whether the CPU is in kernel for a section, which the caller must not end.
  var isInSection: Bool {
    slot.owner.word.load(ordering: .relaxed) & ContextWord.section != 0
  }

  /// Ends the section without leaving kernel: the slow path of its end, or the end of the thread.
  func endSection() {
    let word = slot.owner.word.load(ordering: .relaxed)
    slot.owner.word.store(word & ~ContextWord.section, ordering: .relaxed)
  }

  /// Leaves kernel by a read-modify-write: for contexts in which the thread may sleep or end, where
  /// the look at K that follows decides whether it may.
  func leaveKernelFenced(to context: CPUContext) {
    // Sequentially consistent — leave:W. Dekker with send:O/send:L, as at entry: if the sender's OR
    // comes first, our look at K after this sees the bit and we do not sleep; if this comes first,
    // the sender sees that we are away, and wakes us.
    let new = slot.state.word.wrappingAdd(
      ContextWord.exit(to: context), ordering: .sequentiallyConsistent
    ).newValue
    slot.owner.word.store(new, ordering: .relaxed)
  }

  /// Declares that the CPU holds nothing that a grace period protects: two steps of the counter, in
  /// kernel.
  @inlinable @inline(__always)
  func declareQuiescent() {
    // W, as at an entry: nobody else moves it, and a signal handler does nothing in kernel.
    let copy = slot.owner.word.load(ordering: .relaxed)
    let step = 2 * ContextWord.counterUnit
    // Sequentially consistent — quiescent:W. What came before is visible to a waiter that sees the
    // counter move. Pairs with gracePeriod:S.
    _ = slot.state.word.wrappingAdd(step, ordering: .sequentiallyConsistent)
    slot.owner.word.store(copy &+ step, ordering: .relaxed)
    // Sequentially consistent — quiescent:K. What we load next is loaded after the addition: the
    // barrier that entry:K is, for the same reason. Pairs with gracePeriod:F.
    _ = slot.state.work.load(ordering: .sequentiallyConsistent)
    slot.owner.quiescentStates.countOne()
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension SendPath {
  /// Counts up a catch-up type, and the summary behind it. Returns the type's generation.
  ///
  /// The argument, against `entry:W`/`entry:S`: we write the summary and then read W, the owner
  /// writes W and then reads the summary.
  /// - If our addition comes before the owner's look at the summary, that entry compares, and runs
  ///   the handler.
  /// - Else the owner's addition to W comes before our look at W: we see kernel, and leave a bit,
  ///   which the next safe point, exit or entry finds.
  /// The type comes before the summary: an entry that saw the summary alone would find no type that
  /// has moved, and not compare again.
  func announce(_ type: UInt64) -> UInt64 {
    // Sequentially consistent — catchUp:G. Behind the datum, in front of the summary. Pairs with
    // drain:G.
    let generation = unsafe core.generation(type).pointee.wrappingAdd(
      1, ordering: .sequentiallyConsistent
    ).newValue
    // Sequentially consistent — catchUp:S. In front of the looks at W (catchUp:W). Dekker with
    // entry:W/entry:S; pairs with catchUp:C and catchUp:A.
    unsafe core.summary.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    return generation
  }

  /// What an announced send means for one CPU.
  func catchUp(
    _ work: WorkType, _ cpu: Int, _ generation: UInt64, _ urgency: Urgency, _ site: CallSite,
    isOneOfMany: Bool
  ) -> SendOutcome {
    let slot = core.slots[cpu]
    // Sequentially consistent — catchUp:W. Behind the summary. Pairs with entry:W.
    let word = unsafe slot.state.pointee.word.load(ordering: .sequentiallyConsistent)
    let context = ContextWord(rawValue: word).context ?? .kernel
    if urgency == .deferrable, isCovered(slot, context) {
      unsafe count(broadcasts(work.type)[cpu])
      traceSend(.deferredWorkSet, work, cpu, site)
      return .deferred
    }
    let isGap = unsafe slot.state.pointee.isGap.load(ordering: .relaxed) != 0
    if context == .offline, !isGap {
      // Nothing to leave: a thread that attaches compares, or takes all generations as its own.
      let cell = unsafe sender.cell(target: cpu, type: work.type)
      unsafe count(cell.pointee.sent)
      unsafe count(cell.pointee.gone)
      return .gone
    }
    // Acquire — ticket:A. Somebody's run has covered this send already. Pairs with drain:A.
    if !isGap, context == .kernel,
      unsafe slot.applied[Int(work.type)].load(ordering: .acquiring) >= generation
    {
      let cell = unsafe sender.cell(target: cpu, type: work.type)
      unsafe count(cell.pointee.sent)
      unsafe count(cell.pointee.merged)
      return .merged
    }
    // Sequentially consistent — send:O and send:L, as in `deliver`.
    let wasPending = unsafe slot.state.pointee.work.setBit(work.type)
    let now = unsafe slot.state.pointee.word.load(ordering: .sequentiallyConsistent)
    return conclude(
      work, cpu, now, wasPending: wasPending, urgency: urgency, site, isOneOfMany: isOneOfMany)
  }

  /// Whether the CPU compares before it can observe anything, and nobody has to wake it.
  private func isCovered(_ slot: CPUSlot, _ context: CPUContext) -> Bool {
    switch context {
    case .user, .guest: true
    case .idle:
      !Reach(rawValue: unsafe slot.state.pointee.reach.load(ordering: .relaxed)).isHousekeeping
    default: false
    }
  }

  /// The masked send of a catch-up type to CPUs below 128, as far as they are in user: what it has
  /// announced, and the words of the mask of those. Nil: the other path has to be taken.
  func broadcast(
    _ work: WorkType, to mask: CPUMask
  ) -> (generation: UInt64, low: UInt64, high: UInt64)? {
    guard
      unsafe mask.wordCount <= 2 && (mask.last ?? 0) < core.slots.count
        && sender.flags.pointee.load(ordering: .relaxed) == 0
        && core.record(work.type).pointee.registration.load(ordering: .relaxed)
          == work.registration
    else { return nil }
    let generation = announce(work.type)
    let counts = unsafe broadcasts(work.type)
    return unsafe (
      generation, countInUser(mask.word(at: 0), from: 0, counts),
      countInUser(mask.word(at: 1), from: 64, counts + 64)
    )
  }

  /// The masked send of a catch-up type: one announcement, and one look at each target.
  func catchUp(
    _ work: WorkType, to mask: CPUMask, _ begun: SendReport = SendReport(),
    _ announced: UInt64? = nil, urgency: Urgency, from site: CallSite, asks: Bool,
    where predicate: (Int) -> Bool
  ) -> SendReport {
    var report = begun
    guard
      unsafe announced != nil
        || core.record(work.type).pointee.registration.load(ordering: .relaxed)
          == work.registration
    else {
      report.rejection =
        unsafe core.line.pointee.closed.load(ordering: .relaxed) != 0 ? .closed : .unregistered
      return report
    }
    let generation = announced ?? announce(work.type)
    let slots = core.slots
    let before = urgency == .immediate ? core.traceTimeOfIPIs() : 0
    for cpu in mask {
      guard cpu < slots.count else {
        misuse("there is no CPU \(cpu): this coordinator has CPUs \(core.cpus)")
      }
      if asks, !predicate(cpu) {
        unsafe count(sender.cell(target: cpu, type: work.type).pointee.skipped)
        report.skipped.insert(cpu)
      } else {
        report.record(catchUp(work, cpu, generation, urgency, site, isOneOfMany: true), for: cpu)
      }
    }
    if before != 0 {
      core.traceIPIs(
        to: report.interrupted, from: site, core.traceAddress(ofWork: work.type), at: before)
    }
    return report
  }

  /// The members, `first` and up, that are in user: all that most broadcasts do for most targets.
  @inline(never)
  private func countInUser(
    _ members: UInt64, from first: Int, _ counts: UnsafeMutablePointer<SharedWord>
  ) -> UInt64 {
    let slots = core.slots
    var rest = members
    var found: UInt64 = 0
    while rest != 0 {
      let index = rest.trailingZeroBitCount
      // Sequentially consistent — catchUp:W, as above.
      let word = unsafe slots[first &+ index].state.pointee.word.load(
        ordering: .sequentiallyConsistent)
      if word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue) {
        unsafe counts[index].countOne()
        found |= rest & (0 &- rest)
      }
      rest &= rest &- 1
    }
    return found
  }

  /// What this sender counts, per target, of sends that wrote nothing to it: close together, since
  /// a broadcast goes through all of them.
  func broadcasts(_ type: UInt64) -> UnsafeMutablePointer<SharedWord> {
    unsafe sender.broadcasts(ofType: type, cpus: core.slots.count)
  }

  /// Merges a payload into what waits for a CPU.
  ///
  /// Before the bit, and always by a read-modify-write, also where it changes nothing:
  /// - If the exchange of a drain comes behind ours, that run is told what we merged.
  /// - Else it took what was there before, and our bit, which is set behind, brings another run.
  /// To leave out the write when what waits covers ours already, one would need a full fence in
  /// front of that look.
  func merge(_ payload: UInt64, into slot: CPUSlot, _ type: UInt64, _ form: WorkForm) {
    if payload == 0 { misuse("the payload of a send is empty: it says nothing") }
    let word = unsafe slot.payloads + Int(type)
    var old = unsafe word.pointee.load(ordering: .relaxed)
    while true {
      // Release — payload:M. The datum, and this before the bit. Pairs with payload:T.
      let (exchanged, found) = unsafe word.pointee.weakCompareExchange(
        expected: old, desired: form.merged(old, payload), successOrdering: .releasing,
        failureOrdering: .relaxed)
      if exchanged { return }
      old = found
    }
  }
}

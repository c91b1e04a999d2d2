// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension SendPath {
  /// Counts up a catch-up type, and the summary after it. Returns the type's generation.
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
    // Sequentially consistent — catchUp:G. After the datum, before the summary. Pairs with
    // drain:G.
    let generation = core.generations[type].wrappingAdd(
      1, ordering: .sequentiallyConsistent
    ).newValue
    // Sequentially consistent — catchUp:S. Before the looks at W (catchUp:W). Dekker with
    // entry:W/entry:S; pairs with catchUp:C and catchUp:A.
    core.summary.value.wrappingAdd(1, ordering: .sequentiallyConsistent)
    return generation
  }

  /// What an announced send means for one CPU.
  func catchUp(
    _ work: WorkType, _ cpu: Int, _ generation: UInt64, _ urgency: WorkType.Urgency,
    _ site: CallSite,
    isOneOfMany: Bool
  ) -> SendOutcome {
    let slot = core.slots[cpu]
    // Sequentially consistent — catchUp:W. After the summary. Pairs with entry:W.
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    let context = ContextWord(rawValue: word).contextIfThere ?? .kernel
    if urgency == .deferrable, isCovered(slot, context) {
      count(broadcasts(work.type)[cpu])
      traceSend(.deferredWorkSet, work, cpu, site)
      return .deferred
    }
    let isGap = context == .offline && !core.isCPU(cpu)
    if context == .offline, !isGap {
      // Nothing to leave: a thread that attaches compares, or takes all generations as its own.
      let cell = sender.cell(target: cpu, type: work.type)
      count(cell.value.sent)
      count(cell.value.gone)
      return .gone
    }
    // Acquire — ticket:A. Somebody's run has covered this send already. Pairs with drain:A.
    if context == .kernel,
      slot.applied[Int(work.type)].load(ordering: .acquiring) >= generation
    {
      count(sender.cell(target: cpu, type: work.type).value.merged)
      return .merged
    }
    // Sequentially consistent — send:O and send:L, as in `deliver`.
    let wasPending = slot.state.work.setBit(work.type)
    let now = slot.state.word.load(ordering: .sequentiallyConsistent)
    return conclude(
      work, cpu, now, wasPending: wasPending, urgency: urgency, site, isOneOfMany: isOneOfMany)
  }

  /// Whether the CPU compares before it can observe anything, and nobody has to wake it.
  private func isCovered(_ slot: CPUSlot, _ context: CPUContext) -> Bool {
    switch context {
    case .user, .guest: true
    case .idle:
      !Reach(rawValue: slot.state.reach.load(ordering: .relaxed)).isHousekeeping
    default: false
    }
  }

  /// The masked send of a catch-up type to CPUs below 128, as far as they are in user: what it has
  /// announced, and the words of the mask of those. Nil: the other path has to be taken.
  func broadcast(
    _ work: WorkType, to mask: CPUMask
  ) -> (generation: UInt64, low: UInt64, high: UInt64)? {
    guard
      mask.wordCount <= 2 && (mask.last ?? 0) < core.slots.count
        && sender.flags.value.load(ordering: .relaxed) == 0
        && core.records[work.type].registration.load(ordering: .relaxed)
          == work.registration
    else { return nil }
    let generation = announce(work.type)
    let counts = broadcasts(work.type)
    return (
      generation, countInUser(mask.word(at: 0), from: 0, counts),
      countInUser(mask.word(at: 1), from: 64, counts.dropping(64))
    )
  }

  /// The masked send of a catch-up type: one announcement, and one look at each target.
  func catchUp(
    _ work: WorkType, to mask: CPUMask, _ begun: Report<SendOutcome> = Report(),
    _ announced: UInt64? = nil, urgency: WorkType.Urgency, from site: CallSite, asks: Bool,
    where predicate: (Int) -> Bool
  ) -> Report<SendOutcome> {
    var report = begun
    guard
      announced != nil
        || core.records[work.type].registration.load(ordering: .relaxed)
          == work.registration
    else {
      return Report(.rejected(core.isClosed ? .closed : .unregistered), of: mask)
    }
    let generation = announced ?? announce(work.type)
    let slots = core.slots
    let before = urgency == .immediate ? core.traceTimeOfIPIs() : 0
    for cpu in mask {
      guard cpu < slots.count else {
        core.refuseCPU(cpu, site)
      }
      if asks, !predicate(cpu) {
        count(sender.cell(target: cpu, type: work.type).value.skipped)
        report.record(.skipped, for: cpu)
      } else {
        report.record(catchUp(work, cpu, generation, urgency, site, isOneOfMany: true), for: cpu)
      }
    }
    if before != 0 {
      core.traceIPIs(
        to: report[.interrupted], from: site, core.traceAddress(ofWork: work.type), at: before)
    }
    return report
  }

  /// The members, `first` and up, that are in user: all that most broadcasts do for most targets.
  @inline(never)
  private func countInUser(
    _ members: UInt64, from first: Int, _ counts: Table<SharedWord>
  ) -> UInt64 {
    let slots = core.slots
    var rest = members
    var found: UInt64 = 0
    while rest != 0 {
      let index = rest.trailingZeroBitCount
      // Sequentially consistent — catchUp:W, as above.
      let word = slots[first &+ index].state.word.load(
        ordering: .sequentiallyConsistent)
      if word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue) {
        counts[index].countOne()
        found |= rest & (0 &- rest)
      }
      rest &= rest &- 1
    }
    return found
  }

  /// What this sender counts, per target, of sends that wrote nothing to it: close together, since
  /// a broadcast goes through all of them.
  func broadcasts(_ type: UInt64) -> Table<SharedWord> {
    sender.broadcasts(ofType: type, cpus: core.slots.count)
  }

  /// Merges a payload into what waits for a CPU.
  ///
  /// Before the bit, and always by a read-modify-write, also where it changes nothing:
  /// - If the exchange of a drain comes after ours, that run is told what we merged.
  /// - Else it took what was there before, and our bit, which is set afterwards, brings another run.
  /// To leave out the write when what waits covers ours already, one would need a full fence in
  /// front of that look.
  func merge(_ payload: UInt64, into slot: CPUSlot, _ type: UInt64, _ form: WorkForm) {
    var old = slot.payloads[Int(type)].load(ordering: .relaxed)
    while true {
      // Release — payload:M. The datum, and this before the bit. Pairs with payload:T.
      let (exchanged, found) = slot.payloads[Int(type)].weakCompareExchange(
        expected: old, desired: form.merged(old, payload), successOrdering: .releasing,
        failureOrdering: .relaxed)
      if exchanged { return }
      old = found
    }
  }
}

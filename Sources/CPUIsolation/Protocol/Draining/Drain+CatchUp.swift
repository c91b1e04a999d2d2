// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Drain {
  /// The catch-up types that this CPU lags in, if any has moved since it last compared. From
  /// here on they count as compared: the caller runs them.
  ///
  /// The order is the argument. A sender counts up its type, then the summary. We load the summary,
  /// then the types:
  /// - If its addition to the summary comes before our load, we see its type moved, and run it.
  /// - Else the summary has moved away from what we remember here, and the next entry compares
  ///   again.
  /// What is remembered is what was loaded: a load after the run would take as caught up with what
  /// moved while the handlers ran.
  func compareSummary() -> UInt64 {
    // Acquire — catchUp:C. Before the generations. Pairs with catchUp:S.
    let summary = core.summary.value.load(ordering: .acquiring)
    if slot.owner.caughtUp.load(ordering: .relaxed) == summary { return 0 }
    slot.owner.caughtUp.store(summary, ordering: .relaxed)
    return lagging(among: .max)
  }

  /// Whether a catch-up type has moved since this CPU, the caller's own, last compared.
  var mayLag: Bool {
    // Relaxed, a hint: the entry that it leads to loads it again (entry:S).
    let summary = core.summary.value.load(ordering: .relaxed)
    return slot.owner.caughtUp.load(ordering: .relaxed) != summary
  }

  /// The catch-up types of a set whose generation this CPU has not applied.
  func lagging(among set: UInt64) -> UInt64 {
    // Acquire — drain:V, as in `run`, which looks again.
    let live = core.line.live.load(ordering: .acquiring)
    var left = set & live & core.line.catchUp.load(ordering: .relaxed)
    var found: UInt64 = 0
    while left != 0 {
      let type = UInt64(left.trailingZeroBitCount)
      left &= left &- 1
      // Relaxed, a hint: the run loads it again, and applies what it loads then (drain:G).
      let generation = core.generations[type].load(ordering: .relaxed)
      if slot.applied[Int(type)].load(ordering: .relaxed) != generation {
        found |= 1 << type
      }
    }
    return found
  }

  /// Runs a type whose handler is told something, and is not called when there is nothing to tell:
  /// the gap of a catch-up type, or what senders have merged.
  @inline(never)
  func runHandlerWithArgument(
    _ type: UInt64, _ generation: UInt64, _ draining: UInt64?, isBit: Bool, traces: Bool
  ) {
    let index = Int(truncatingIfNeeded: type)
    let told: UInt64
    if core.records[type].form == .catchUp {
      // Relaxed: this thread's own word; what a helper wrote there came before entry:P.
      told = generation &- slot.applied[index].load(ordering: .relaxed)
    } else {
      // Acquire — payload:T. After the take of the bit: a sender merges before it sets the bit, so
      // whoever takes the bit finds what was merged for it, unless a run before has had it. Pairs
      // with payload:M.
      told = slot.payloads[index].exchange(0, ordering: .acquiring)
    }
    if isBit { slot.executed[index].countOne() }
    if told != 0 {
      if let draining {
        slot.owner.special.store(
          draining | OwnerFlags.running(type), ordering: .relaxed)
      }
      core.records[type].handler.run(on: cpu, telling: told)
      if !isBit { slot.catchUps[index].countOne() }
      if traces { traceDrain(type) }
    }
    noteAge(index)
    // Release — drain:A, as in `runHandler`: the generation that was loaded before the run.
    slot.applied[index].store(generation, ordering: .releasing)
  }

  /// Whether nothing is pending that may run in a signal handler, and that a drain runs before a type.
  func isNothingPending(before type: UInt64) -> Bool {
    let early = core.line.early.load(ordering: .relaxed)
    let late = core.line.late.load(ordering: .relaxed)
    let bit: UInt64 = 1 << type
    let lower = bit &- 1
    var before = early & lower
    if early & bit == 0 {
      before = early | ~late & lower
      if late & bit != 0 { before = ~late | lower }
    }
    // Acquire — drain:I, as in the drain of a signal handler.
    before &= core.line.interruptSafe.load(ordering: .acquiring)
    return slot.state.work.load(ordering: .relaxed) & before == 0 && lagging(among: before) == 0
  }
}

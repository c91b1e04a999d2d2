// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A grace period as a value: the CPUs that have not passed yet, each with the word it was seen
/// with.
///
/// A CPU has passed when nothing that it began before the snapshot can still be going on: it is
/// outside kernel and nobody works on its behalf, or its word has changed since. Where it was outside
/// kernel with a helper at work, that helper has to be through, and no later one: helpers that follow
/// each other without a gap would hold a grace period up for ever.
struct GracePeriodWait {
  private struct Straggler {
    var cpu: Int
    var word: ContextWord
    /// Where a helper worked for a CPU that was away: how many had been through with it.
    var helps: UInt64?
  }
  /// Nil, and no memory, where every CPU had passed at the first look.
  private var stragglers: [Straggler]? = nil

  /// Begins to wait for every CPU except `excluded`, the caller's own, which holds nothing while it asks.
  init(_ slots: CPUSlots, excluding excluded: Int?) {
    self.init(slots, from: Self.begin(slots, excluding: excluded), excluding: excluded)
  }

  /// Looks at the CPUs from `first` on; those before have passed. Only after `begin`.
  init(_ slots: CPUSlots, from first: Int, excluding excluded: Int?) {
    for cpu in first..<slots.count where cpu != excluded {
      let (word, isPinned) = Self.look(at: slots[cpu])
      let isAway = !word.isInKernel
      if isAway && !isPinned { continue }
      let helps = isAway ? Self.helps(slots[cpu]) : nil
      if stragglers == nil { stragglers = [] }
      stragglers?.append(Straggler(cpu: cpu, word: word, helps: helps))
    }
  }

  /// Begins a grace period: the first CPU that has not passed, or where all have, how many there are.
  ///
  /// What the caller unlinked before is either invisible to a section that begins later, or the
  /// section began earlier and is seen here:
  /// - If the section's addition to W (`entry:W`) comes before our look, we see kernel and wait for
  ///   it.
  /// - If our look comes first, our fence comes before the addition, and the section's loads see
  ///   the unlinking.
  ///
  /// It is the only fence. What the caller frees comes after the looks without one: each look that lets
  /// a CPU pass acquires what that CPU, or its helper, released when it was through.
  @inline(__always)
  static func begin(_ slots: CPUSlots, excluding excluded: Int?) -> Int {
    // Sequentially consistent fence — gracePeriod:F. The unlinking comes before the looks. Pairs
    // with entry:W.
    fullFence()
    let own = excluded ?? -1
    var cpu = 0
    while true {
      while cpu < slots.count {
        let (word, isPinned) = look(at: slots[cpu])
        if word.isInKernel || isPinned { break }
        cpu &+= 1
      }
      // Asked of who has not passed alone.
      if cpu != own || cpu == slots.count { return cpu }
      cpu &+= 1
    }
  }

  /// Whether every CPU has passed, as far as was looked.
  @inline(__always)
  var isOver: Bool { stragglers?.isEmpty ?? true }

  /// Whether every CPU has passed; looks again at those that had not.
  mutating func poll(_ slots: CPUSlots) -> Bool {
    if isOver { return true }
    stragglers?.removeAll { straggler in
      let (word, isPinned) = Self.look(at: slots[straggler.cpu])
      // A CPU that was away while a helper worked for it began nothing itself; the helper has to be
      // through. It is if the pin is free, and if the count has moved: helpers have the pin one after
      // the other and count before they let go, so the first to count after our first look had the
      // pin then, and who pinned later sees the unlinking. Every other CPU passes by moving: with a
      // helper at work it cannot move beyond entry, where it waits.
      guard let helps = straggler.helps else { return word != straggler.word }
      return !isPinned || Self.helps(slots[straggler.cpu]) != helps
    }
    return isOver
  }

  /// The CPUs that have not passed.
  var cpus: CPUMask { CPUMask((stragglers ?? []).map(\.cpu)) }

  @inline(__always)
  private static func look(at slot: CPUSlot) -> (ContextWord, isPinned: Bool) {
    // Sequentially consistent — gracePeriod:S. What a CPU did before it left, or moved, is seen by us.
    // Pairs with entry:W, exit:W and quiescent:W.
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    // Sequentially consistent — gracePeriod:P. After the look at W: a helper that pins later looks
    // at W later and began after this grace period did. Pairs with onBehalf:P and onBehalf:U.
    let pin = slot.state.pin.load(ordering: .sequentiallyConsistent)
    return (ContextWord(rawValue: word), pin != 0)
  }

  private static func helps(_ slot: CPUSlot) -> UInt64 {
    // Acquire — gracePeriod:H. After the unlinking's fence (gracePeriod:F); if it shows that a helper
    // is through, we see what that helper did. Pairs with onBehalf:H.
    slot.state.helps.load(ordering: .acquiring)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Words that housekeepers change and every CPU has a copy of, which it brings up to date in its
/// drain: the memory of keys and calls, as a trivially copyable handle round one address.
///
///     offset   0  header   the claim of whoever changes something, and how many groups are used
///                      and where the slots are, and which part of their copies is this table's
///            128  stamps   per group of eight Limits.keyWords a sequence: odd while it is being written
///                 Limits.keyWords    the masters: what a copy becomes
///                 counts   per word, the count of a key
///
/// A CPU's copies, and the stamps that they were taken at, stand in its slot: at the same distance
/// for every CPU, so that a copy is found by one addition, without the CPU's number. Only the CPU's
/// own thread writes them.
// Sendable: an address of memory in which every word is atomic.
@safe
struct KeyTable: @unchecked Sendable {
  let base: Address

  /// One cache line of masters: what changes together is copied together.
  static let wordsPerGroup = 8
  static var groups: Int { Limits.keyWords / wordsPerGroup }

  private static let stampsOffset = 128
  private static var mastersOffset: Int { aligned(stampsOffset + groups * 8) }
  private static var countsOffset: Int { aligned(mastersOffset + Limits.keyWords * 8) }

  private static func aligned(_ offset: Int) -> Int {
    (offset + cacheLineStride - 1) / cacheLineStride * cacheLineStride
  }

  static var byteCount: Int { aligned(countsOffset + Limits.keyWords * 8) }

  /// Lays the table out in zeroed memory, and a part of the copies in the slots.
  init(initializing base: Address, part: Int, of slots: CPUSlots) {
    self.base = base
    for offset in [0, 8] { word(at: offset).initialize(to: SharedWord(0)) }
    let address = UInt64(slots.base.bits)
    word(at: 16).initialize(to: SharedWord(address))
    word(at: 24).initialize(to: SharedWord(UInt64(part)))
    for index in 0..<Limits.keyWords {
      word(at: Self.mastersOffset + index * 8).initialize(to: SharedWord(0))
      word(at: Self.countsOffset + index * 8).initialize(to: SharedWord(0))
    }
    for group in 0..<Self.groups {
      word(at: Self.stampsOffset + group * 8).initialize(to: SharedWord(0))
    }
    for cpu in 0..<slots.count {
      for index in 0..<Limits.keyWords { copy(index, of: cpu).initialize(to: SharedWord(0)) }
      for group in 0..<Self.groups { seen(group, by: cpu).initialize(to: SharedWord(0)) }
    }
  }

  /// The same memory again: what a handler's context is.
  init(base: Address) { self.base = base }

  private func word(at offset: Int) -> Place<SharedWord> {
    // Safety: the offset is that of a word of the map above.
    unsafe Place(base + offset)
  }

  private var claimed: Place<SharedWord> { word(at: 0) }
  /// How many groups have Limits.keyWords that somebody uses: drains look at no others.
  var usedGroups: Place<SharedWord> { word(at: 8) }

  private func stamp(_ group: Int) -> Place<SharedWord> {
    word(at: Self.stampsOffset + group * 8)
  }

  /// What the copies become.
  func master(_ index: Int) -> Place<SharedWord> {
    word(at: Self.mastersOffset + index * 8)
  }

  /// The count of the key with that word.
  func count(_ index: Int) -> Place<SharedWord> {
    word(at: Self.countsOffset + index * 8)
  }

  /// A CPU's copies, and behind them the stamps of the groups when it last copied them.
  private func copies(of cpu: Int) -> Table<SharedWord> {
    // A table's memory names its slots from initialization on.
    let slots = unsafe CPUSlots(
      base: Address(at: UInt(word(at: 16).value.load(ordering: .relaxed))).unsafelyUnwrapped,
      count: cpu + 1)
    return slots[cpu].copies(ofPart: Int(word(at: 24).value.load(ordering: .relaxed)))
  }

  /// A CPU's own copy.
  func copy(_ index: Int, of cpu: Int) -> Place<SharedWord> {
    copies(of: cpu).place(index)
  }

  /// The stamp of a group when the CPU last copied it.
  private func seen(_ group: Int, by cpu: Int) -> Place<SharedWord> {
    copies(of: cpu).place(Limits.keyWords + group)
  }

  /// How far every copy of a word is from the slot of its CPU.
  func distance(to index: Int, from slots: CPUSlots) -> UInt {
    copy(index, of: 0).bits &- slots.base.bits
  }

  #if ModelChecking
    /// The columns, which their owners alone use, and the claimer's own Limits.keyWords.
    func modelPrivateRanges(cpus: Int) -> [Range<UInt>] {
      let first = unsafe base.bits
      return [first + 8..<first + 32]
        + (0..<cpus).map { cpu in
          let copies = unsafe copies(of: cpu).bits
          return copies..<copies + UInt(CPUSlot.copyBytes)
        }
    }
  #endif
}

// MARK: - Writing

extension KeyTable {
  /// Whether the caller is the one who may change masters now.
  func claim() -> Bool {
    // Relaxed: a hint, that whoever waits does not pull the line away from the claimer.
    if claimed.value.load(ordering: .relaxed) != 0 { return false }
    // Acquire — patch:C. What the last claimer wrote. Pairs with patch:U.
    return claimed.value.exchange(1, ordering: .acquiring) == 0
  }

  /// Lets the next one change something.
  func unclaim() {
    // Release — patch:U. Everything the claimer wrote. Pairs with patch:C.
    claimed.value.store(0, ordering: .releasing)
  }

  /// Writes a master, or two beside each other in one group. The caller has the claim.
  ///
  /// The group is marked meanwhile: a CPU that drains for another reason at this very moment copies
  /// both Limits.keyWords or neither. What it passes over comes with the bit that the caller sends next.
  func write(_ values: [UInt64], at index: Int) {
    let stamp = stamp(index / Self.wordsPerGroup)
    let before = stamp.value.load(ordering: .relaxed)
    stamp.value.store(before &+ 1, ordering: .relaxed)
    // Release fence — patch:B. Whoever reads one of the Limits.keyWords below sees the mark. Pairs with
    // patch:E.
    releaseFence()
    for (offset, value) in values.enumerated() {
      master(index + offset).value.store(value, ordering: .relaxed)
    }
    // Release — patch:P. Whoever sees the new stamp sees the Limits.keyWords. Pairs with patch:R.
    stamp.value.store(before &+ 2, ordering: .releasing)
  }
}

// MARK: - The drain

extension KeyTable {
  /// Brings a CPU's copies up to date. Runs on its thread, in its drain.
  ///
  /// Wait-free: a group that is being written is passed over. Its writer has not sent yet; the bit
  /// that it will set brings the CPU back here.
  func catchUp(_ cpu: Int) {
    // Relaxed: a group that is used for the first time was counted before its bit was sent, and the
    // take (`drain:T`) sees it.
    let used = Int(truncatingIfNeeded: usedGroups.value.load(ordering: .relaxed))
    for group in 0..<used {
      // Acquire — patch:R. The Limits.keyWords of the stamp that we see. Pairs with patch:P.
      let stamp = stamp(group).value.load(ordering: .acquiring)
      let seen = seen(group, by: cpu)
      if stamp & 1 != 0 || stamp == seen.value.load(ordering: .relaxed) { continue }
      copy(group, to: cpu, at: stamp)
    }
  }

  private func copy(_ group: Int, to cpu: Int, at stamp: UInt64) {
    let first = group * Self.wordsPerGroup
    var values = InlineArray<8, UInt64>(repeating: 0)
    for offset in 0..<Self.wordsPerGroup {
      values[offset] = master(first + offset).value.load(ordering: .relaxed)
    }
    // Acquire fence — patch:E. If one of the Limits.keyWords is of a later writer, its mark is seen behind
    // this. Pairs with patch:B.
    acquireFence()
    if self.stamp(group).value.load(ordering: .relaxed) != stamp { return }
    for offset in 0..<Self.wordsPerGroup {
      let copy = copy(first + offset, of: cpu)
      if copy.value.load(ordering: .relaxed) != values[offset] {
        copy.value.store(values[offset], ordering: .relaxed)
      }
    }
    seen(group, by: cpu).value.store(stamp, ordering: .relaxed)
  }

  /// The handler of the work types: the context is the table.
  static let handler: CPUFunction = { context, cpu in
    unsafe KeyTable(base: Address(context.unsafelyUnwrapped)).catchUp(cpu)
  }
}

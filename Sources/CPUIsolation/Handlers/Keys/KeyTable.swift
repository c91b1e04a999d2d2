// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Words that housekeepers change and every CPU has a copy of, which it brings up to date in its
/// drain: the memory of keys and calls, as a trivially copyable handle round one address.
///
///     offset   0  header   the claim of whoever changes something, and how many groups are used
///                      and where the slots are, and which part of their copies is this table's
///            128  stamps   per group of eight words how often it was changed
///                 masters  per group two sets of its words: the stamp's lowest bit says which one
///                          copies become, and the other is where the next change is written
///                 counts   per word, the count of a key
///
/// A CPU's copies, and the stamps that they were taken at, stand in its slot: at the same distance
/// for every CPU, so that a copy is found by one addition, without the CPU's number. Only the CPU's
/// own thread writes them.
// Sendable: an address of memory in which every word is atomic.
@safe
struct KeyTable: @unchecked Sendable {
  let base: Address

  static var wordsPerGroup: Int { Limits.keyGroupWords }
  static var groups: Int { Limits.keyWords / wordsPerGroup }

  private static let stampsOffset = 128
  private static var mastersOffset: Int { aligned(stampsOffset + groups * 8) }
  private static var countsOffset: Int { aligned(mastersOffset + 2 * Limits.keyWords * 8) }

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
    for index in 0..<2 * Limits.keyWords {
      word(at: Self.mastersOffset + index * 8).initialize(to: SharedWord(0))
    }
    for index in 0..<Limits.keyWords {
      word(at: Self.countsOffset + index * 8).initialize(to: SharedWord(0))
    }
    for group in 0..<Self.groups {
      word(at: Self.stampsOffset + group * 8).initialize(to: SharedWord(0))
    }
    // What a former table has left: most slots' pages were never touched, and stay so.
    for cpu in 0..<slots.count {
      for index in 0..<Limits.keyWords { Self.clear(copy(index, of: cpu)) }
      for group in 0..<Self.groups { Self.clear(seen(group, by: cpu)) }
    }
  }

  private static func clear(_ word: Place<SharedWord>) {
    if word.value.load(ordering: .relaxed) != 0 { word.value.store(0, ordering: .relaxed) }
  }

  /// The same memory again: what a handler's context is.
  init(base: Address) { self.base = base }

  private func word(at offset: Int) -> Place<SharedWord> {
    // Safety: the offset is that of a word of the map above.
    unsafe Place(base + offset)
  }

  private var claimed: Place<SharedWord> { word(at: 0) }
  /// How many groups have words that somebody uses: drains look at no others.
  var usedGroups: Place<SharedWord> { word(at: 8) }

  func stamp(_ group: Int) -> Place<SharedWord> {
    word(at: Self.stampsOffset + group * 8)
  }

  /// The words of a group that were current when its stamp was this.
  func masters(of group: Int, at stamp: UInt64) -> Table<SharedWord> {
    let set = 2 * group + Int(truncatingIfNeeded: stamp & 1)
    // Safety: a set is as many words as a group, and these are in the map above.
    return unsafe Table(base + Self.mastersOffset + set * Self.wordsPerGroup * 8)
  }

  /// What the copies of a word become, as anybody may ask.
  ///
  /// No older than any change that the caller was told of: it finds the stamp of that change or of a
  /// later one, and what may be written over the words of a stamp is newer still.
  func master(_ index: Int) -> UInt64 {
    let group = index / Self.wordsPerGroup
    // Acquire — key:S. The words of the stamp that we see, which may be of a later change than we were
    // told of. Pairs with patch:P.
    let stamp = stamp(group).value.load(ordering: .acquiring)
    return masters(of: group, at: stamp)[index % Self.wordsPerGroup].load(ordering: .relaxed)
  }

  /// The count of the key with that word.
  func count(_ index: Int) -> Place<SharedWord> {
    word(at: Self.countsOffset + index * 8)
  }

  /// A CPU's copies, and after them the stamps of the groups when it last copied them.
  private func copies(of cpu: Int) -> Table<SharedWord> {
    // A table's memory names its slots from initialization on.
    // Safety: the word was written at initialisation.
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
    /// The columns, which their owners alone use, and the claimer's own words.
    func modelPrivateRanges(cpus: Int) -> [Range<UInt>] {
      let first = base.bits
      return [first + 8..<first + 32]
        + (0..<cpus).map { cpu in
          let copies = copies(of: cpu).bits
          return copies..<copies + UInt(CPUSlot.copyBytes)
        }
    }
  #endif
}

// MARK: - Writing

extension KeyTable {
  /// Whether the caller is the one who may change masters now.
  func claim() -> Bool {
    let own = UInt64(cpi_fork_generation()) + 1
    // Relaxed: a hint, that whoever waits does not pull the line away from the claimer.
    let holder = claimed.value.load(ordering: .relaxed)
    // A claimer from before a fork is not in this process.
    if holder == own { return false }
    // Acquire — patch:C. What the last claimer wrote. Pairs with patch:U.
    return claimed.value.compareExchange(
      expected: holder, desired: own, successOrdering: .acquiring, failureOrdering: .relaxed
    ).exchanged
  }

  /// Lets the next one change something.
  func unclaim() {
    // Release — patch:U. Everything the claimer wrote. Pairs with patch:C.
    claimed.value.store(0, ordering: .releasing)
  }

  /// Changes a master, or two beside each other in one group. The caller has the claim.
  ///
  /// The set that drains copy is left alone: whoever copies it has every change that was
  /// acknowledged, whatever this one is doing meanwhile. All words of the group are written into the
  /// other set, and the stamp that makes it current publishes them.
  func write(_ values: [UInt64], at index: Int) {
    let group = index / Self.wordsPerGroup
    let first = index % Self.wordsPerGroup
    let stamp = stamp(group)
    let before = stamp.value.load(ordering: .relaxed)
    let current = masters(of: group, at: before)
    let next = masters(of: group, at: before &+ 1)
    // Release fence — patch:B. Whoever reads one of the words below, in the set of the stamp before
    // this one, sees that the stamp has moved. Pairs with patch:E.
    releaseFence()
    for offset in 0..<Self.wordsPerGroup {
      let value =
        values.indices.contains(offset - first)
        ? values[offset - first] : current[offset].load(ordering: .relaxed)
      next[offset].store(value, ordering: .relaxed)
    }
    // Release — patch:P. Whoever sees the new stamp sees the words. Pairs with patch:R.
    stamp.value.store(before &+ 1, ordering: .releasing)
  }
}

// MARK: - The drain

extension KeyTable {
  /// Brings a CPU's copies up to date. Runs on its thread, in its drain.
  ///
  /// When it ends, the CPU has every change that a waiter takes for having reached it, whoever else
  /// is writing. A change is published before its ticket is drawn, and that before its bit is set. The
  /// waiter is content with this CPU in one of three cases:
  /// - *It saw the CPU outside kernel*, after its OR of the bit. The entry that we belong to comes
  ///   after that, and finds the bit, unless a drain before has taken it: who takes the bit sees the
  ///   stamp (`send:O`, `drain:T`).
  /// - *It finds its generation applied.* The drain that applied it loaded it before it came here
  ///   (`drain:G`), and with it sees the stamp (`ticket:G`), whether or not the bit had come.
  /// - *The CPU had no thread.* The one that attaches sends to itself (`runAttachWork`).
  ///
  /// So what has to be copied is what was current at any stamp from the one that we see on: a change
  /// that is being written is not waited for and hides nothing, since it stands in the other set.
  ///
  /// It ends: a change that is published while we copy finds us in kernel, so that its writer keeps the
  /// claim at least until we are through, and no other writer begins. A group is copied once more for
  /// each word that this one writer changes, at most. When the coordinator is closed, writers do not
  /// wait any more, and each of those that want the claim may come once.
  func catchUp(_ cpu: Int) {
    // Relaxed: a group that is used for the first time was counted before its bit was sent, and the
    // take (`drain:T`) sees it.
    let used = Int(truncatingIfNeeded: usedGroups.value.load(ordering: .relaxed))
    for group in 0..<used { while !copy(group, to: cpu) {} }
  }

  /// Copies a group that has changed. False: a later change may have been written over what was read,
  /// and nothing was done.
  private func copy(_ group: Int, to cpu: Int) -> Bool {
    // Acquire — patch:R. The words of the stamp that we see. Pairs with patch:P.
    let stamp = stamp(group).value.load(ordering: .acquiring)
    let seen = seen(group, by: cpu)
    if stamp == seen.value.load(ordering: .relaxed) { return true }
    let masters = masters(of: group, at: stamp)
    var values = InlineArray<8, UInt64>(repeating: 0)
    for offset in 0..<Self.wordsPerGroup {
      values[offset] = masters[offset].load(ordering: .relaxed)
    }
    // Acquire fence — patch:E. If one of the words is of the change after the next, the stamp of the
    // next is seen after this. Pairs with patch:B.
    acquireFence()
    if self.stamp(group).value.load(ordering: .relaxed) != stamp { return false }
    for offset in 0..<Self.wordsPerGroup {
      let copy = copy(group * Self.wordsPerGroup + offset, of: cpu)
      if copy.value.load(ordering: .relaxed) != values[offset] {
        copy.value.store(values[offset], ordering: .relaxed)
      }
    }
    seen.value.store(stamp, ordering: .relaxed)
    return true
  }

  /// The handler of the work types: the context is the table.
  static let handler: CPUFunction = { context, cpu in
    // Safety: the handler was registered with the table.
    unsafe KeyTable(base: Address(context.unsafelyUnwrapped)).catchUp(cpu)
  }
}

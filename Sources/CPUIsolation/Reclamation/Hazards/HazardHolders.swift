// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// The slots of holders: chunks of lines, each line with a bit mask of its free slots and fifteen
/// slots.
///
///     chunk   0  the next chunk's address
///           128  a line:  0 free   a bit per slot, 1 … 15
///                         1 … 15   slots
///           256  …
///
/// A holder may go to another thread, so its slot is not in the line of the thread that took it: a
/// thread that makes holders keeps to one line as long as that has free slots, and leaves each line
/// to itself where there are enough. Chunks are never given back before the domain ends: a scan may
/// be walking through them.
extension HazardCore {
  private static var allFree: UInt { (1 << UInt(Limits.hazardHolderSlots + 1)) - 2 }
  private static var holderChunkBytes: Int { cacheLineStride * (Limits.hazardHolderLines + 1) }

  /// Takes a slot for a holder; it is empty.
  @usableFromInline @inline(never)
  func takeHolderSlot() -> Place<SharedAddress> {
    scan.holders.wrappingAdd(1, ordering: .relaxed)
    let own = ownLine
    if let line = words(at: own.holders.value.load(ordering: .relaxed)),
      let slot = claim(line)
    {
      return slot
    }
    while true {
      if let line = lineWithFreeSlots(), let slot = claim(line) {
        own.holders.value.store(line.bits, ordering: .relaxed)
        return slot
      } else if lineWithFreeSlots() == nil {
        addHolderChunk()
      }
    }
  }

  @usableFromInline @inline(never)
  func giveBackHolderSlot(_ slot: Place<SharedAddress>) {
    let index = slot.bits % UInt(cacheLineStride) / 8
    // Safety: a line of holders begins with the word that says which are free.
    let line = unsafe Place<SharedAddress>(slot.pointer - Int(index))
    // Release — hazardHolder:G. The slot is empty before somebody else has it. Pairs with
    // hazardHolder:T.
    line.value.bitwiseOr(1 << index, ordering: .releasing)
    scan.holders.wrappingAdd(0 &- 1, ordering: .relaxed)
  }

  private func claim(
    _ line: Table<SharedAddress>
  ) -> Place<SharedAddress>? {
    var free = line[0].load(ordering: .relaxed)
    while free != 0 {
      let index = free.trailingZeroBitCount
      // Acquire — hazardHolder:T. Pairs with hazardHolder:G.
      let (exchanged, original) = line[0].weakCompareExchange(
        expected: free, desired: free & ~(1 << UInt(index)), successOrdering: .acquiring,
        failureOrdering: .relaxed)
      if exchanged { return line.place(index) }
      free = original
    }
    return nil
  }

  /// A line that nobody uses, else one that has room.
  private func lineWithFreeSlots() -> Table<SharedAddress>? {
    var partly: Table<SharedAddress>? = nil
    var found: Table<SharedAddress>? = nil
    forEachHolderLine { line in
      let free = line[0].load(ordering: .relaxed)
      if free == Self.allFree { found = line }
      if free != 0, partly == nil { partly = line }
      return found == nil
    }
    return found ?? partly
  }

  /// Memory for slots; without it no protection is possible, and nobody could go on.
  private static func mapped(_ bytes: Int) -> Address {
    // Safety: new memory, until the domain ends.
    guard let memory = unsafe cpi_map_zeroed(bytes) else {
      misuse("there is no memory for hazard pointers: cannot map \(bytes) bytes")
    }
    return unsafe Address(memory)
  }

  private func addHolderChunk() {
    // Safety: new memory, of as many words.
    let chunk = unsafe Table<SharedAddress>(Self.mapped(Self.holderChunkBytes))
    for word in 0..<(Self.holderChunkBytes / 8) {
      chunk.place(word).initialize(to: SharedAddress(0))
    }
    for line in 1...Limits.hazardHolderLines {
      chunk[line * (cacheLineStride / 8)].store(Self.allFree, ordering: .relaxed)
    }
    var first = scan.holderChunks.load(ordering: .relaxed)
    while true {
      chunk[0].store(first, ordering: .relaxed)
      // Sequentially consistent — hazard:I. The slots are empty before anyone finds them; and a scan
      // whose look at the chunks comes before this has fenced before any protection in this one.
      // Pairs with hazard:C and hazard:F.
      let (exchanged, original) = scan.holderChunks.compareExchange(
        expected: first, desired: chunk.bits,
        successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed)
      if exchanged { return }
      first = original
    }
  }

  /// The line, or the chunk of lines, whose address a word holds.
  private func words(at address: UInt) -> Table<SharedAddress>? {
    // Safety: the words of holders and chunks hold nothing else.
    Address(at: address).map { unsafe Table($0) }
  }

  /// Every line of holders, while the body says so.
  func forEachHolderLine(_ body: (Table<SharedAddress>) -> Bool) {
    // Acquire — hazard:C. Pairs with hazard:I.
    var address = scan.holderChunks.load(ordering: .acquiring)
    while let chunk = words(at: address) {
      for line in 1...Limits.hazardHolderLines {
        if !body(chunk.dropping(line * (cacheLineStride / 8))) { return }
      }
      address = chunk[0].load(ordering: .relaxed)
    }
  }

  /// Gives the chunks back, at the domain's end.
  func unmapHolderChunks() {
    var address = scan.holderChunks.load(ordering: .relaxed)
    while let chunk = words(at: address) {
      address = chunk[0].load(ordering: .relaxed)
      // Safety: the domain has ended.
      unsafe cpi_unmap(chunk.first.address.pointer, Self.holderChunkBytes)
    }
  }
}

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
  func takeHolderSlot() -> UnsafeMutablePointer<SharedAddress> {
    unsafe scan.pointee.holders.wrappingAdd(1, ordering: .relaxed)
    let own = ownLine
    if let line = unsafe UnsafeMutablePointer<SharedAddress>(
      bitPattern: own.holders.pointee.load(ordering: .relaxed)),
      let slot = unsafe claim(line)
    {
      return unsafe slot
    }
    while true {
      if let line = unsafe lineWithFreeSlots(), let slot = unsafe claim(line) {
        unsafe own.holders.pointee.store(UInt(bitPattern: line), ordering: .relaxed)
        return unsafe slot
      } else if unsafe lineWithFreeSlots() == nil {
        addHolderChunk()
      }
    }
  }

  @usableFromInline @inline(never)
  func giveBackHolderSlot(_ slot: UnsafeMutablePointer<SharedAddress>) {
    let address = UInt(bitPattern: slot)
    let line = unsafe UnsafeMutablePointer<SharedAddress>(
      bitPattern: address & ~UInt(cacheLineStride - 1)
    ).unsafelyUnwrapped
    let index = address % UInt(cacheLineStride) / 8
    // Release — hazardHolder:G. The slot is empty before somebody else has it. Pairs with
    // hazardHolder:T.
    unsafe line.pointee.bitwiseOr(1 << index, ordering: .releasing)
    unsafe scan.pointee.holders.wrappingAdd(0 &- 1, ordering: .relaxed)
  }

  private func claim(
    _ line: UnsafeMutablePointer<SharedAddress>
  ) -> UnsafeMutablePointer<SharedAddress>? {
    var free = unsafe line.pointee.load(ordering: .relaxed)
    while free != 0 {
      let index = free.trailingZeroBitCount
      // Acquire — hazardHolder:T. Pairs with hazardHolder:G.
      let (exchanged, original) = unsafe line.pointee.weakCompareExchange(
        expected: free, desired: free & ~(1 << UInt(index)), successOrdering: .acquiring,
        failureOrdering: .relaxed)
      if exchanged { return unsafe line + index }
      free = original
    }
    return nil
  }

  /// A line that nobody uses, else one that has room.
  private func lineWithFreeSlots() -> UnsafeMutablePointer<SharedAddress>? {
    var partly: UnsafeMutablePointer<SharedAddress>? = nil
    var found: UnsafeMutablePointer<SharedAddress>? = nil
    unsafe forEachHolderLine { line in
      let free = unsafe line.pointee.load(ordering: .relaxed)
      if free == Self.allFree { unsafe found = unsafe line }
      if free != 0, unsafe partly == nil { unsafe partly = unsafe line }
      return unsafe found == nil
    }
    return unsafe found ?? partly
  }

  /// Memory for slots; without it no protection is possible, and nobody could go on.
  private static func mapped(_ bytes: Int) -> UnsafeMutableRawPointer {
    guard let memory = unsafe cpi_map_zeroed(bytes) else {
      misuse("there is no memory for hazard pointers: cannot map \(bytes) bytes")
    }
    return unsafe memory
  }

  private func addHolderChunk() {
    let chunk = unsafe Self.mapped(Self.holderChunkBytes)
      .assumingMemoryBound(to: SharedAddress.self)
    for word in 0..<(Self.holderChunkBytes / 8) {
      unsafe (chunk + word).initialize(to: SharedAddress(0))
    }
    for line in 1...Limits.hazardHolderLines {
      unsafe chunk[line * (cacheLineStride / 8)].store(Self.allFree, ordering: .relaxed)
    }
    var first = unsafe scan.pointee.holderChunks.load(ordering: .relaxed)
    while true {
      unsafe chunk.pointee.store(first, ordering: .relaxed)
      // Sequentially consistent — hazard:I. The slots are empty before anyone finds them; and a scan
      // whose look at the chunks comes before this has fenced before any protection in this one.
      // Pairs with hazard:C and hazard:F.
      let (exchanged, original) = unsafe scan.pointee.holderChunks.compareExchange(
        expected: first, desired: UInt(bitPattern: chunk),
        successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed)
      if exchanged { return }
      first = original
    }
  }

  /// Every line of holders, while the body says so.
  func forEachHolderLine(_ body: (UnsafeMutablePointer<SharedAddress>) -> Bool) {
    // Acquire — hazard:C. Pairs with hazard:I.
    var address = unsafe scan.pointee.holderChunks.load(ordering: .acquiring)
    while let chunk = unsafe UnsafeMutablePointer<SharedAddress>(bitPattern: address) {
      for line in 1...Limits.hazardHolderLines {
        if unsafe !body(chunk + line * (cacheLineStride / 8)) { return }
      }
      address = unsafe chunk.pointee.load(ordering: .relaxed)
    }
  }

  /// Gives the chunks back, at the domain's end.
  func unmapHolderChunks() {
    var address = unsafe scan.pointee.holderChunks.load(ordering: .relaxed)
    while let chunk = unsafe UnsafeMutablePointer<SharedAddress>(bitPattern: address) {
      address = unsafe chunk.pointee.load(ordering: .relaxed)
      unsafe cpi_unmap(UnsafeMutableRawPointer(chunk), Self.holderChunkBytes)
    }
  }
}

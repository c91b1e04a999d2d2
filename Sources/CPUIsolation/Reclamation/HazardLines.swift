// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// A thread's line in a domain: the slots of its scopes, and what it has retired.
///
///     0 … 12  slots     protected addresses; 0 is free
///         13  batch     what this thread has retired and no scan has taken; 0 while it is written
///         14  holders   the line in which this thread last found a slot for a holder
///         15  retired   how many objects this thread has retired
///
/// Line 0 is that of all threads without a number; its first slot is never free.
@safe @usableFromInline
struct HazardLine {
  @usableFromInline let base: UnsafeMutablePointer<SharedAddress>

  @inlinable @inline(__always)
  init(_ base: UnsafeMutablePointer<SharedAddress>) { unsafe self.base = unsafe base }

  #if ModelChecking
    // Few, since a scan's look at each is a place to switch.
    static let scopes = 1
  #else
    static let scopes = 13
  #endif

  var batch: UnsafeMutablePointer<SharedAddress> { unsafe base + 13 }
  var holders: UnsafeMutablePointer<SharedAddress> { unsafe base + 14 }
  var retired: UnsafeMutablePointer<SharedWord> {
    unsafe UnsafeMutableRawPointer(base + 15).assumingMemoryBound(to: SharedWord.self)
  }

  /// What stands in a slot that nobody may use; no object lies there, and it is no wildcard.
  static let blocked: UInt = 2
}

/// A slot for a scope, and whether it is a holder's.
@frozen @safe @usableFromInline
struct HazardScope {
  @usableFromInline let slot: UnsafeMutablePointer<SharedAddress>
  @usableFromInline let isHolders: Bool

  @inlinable @inline(__always)
  init(_ slot: UnsafeMutablePointer<SharedAddress>, isHolders: Bool) {
    unsafe self.slot = unsafe slot
    self.isHolders = isHolders
  }
}

extension HazardCore {
  /// The line of a number; nil while its chunk does not exist.
  @inlinable @inline(__always)
  func line(_ number: Int) -> UnsafeMutablePointer<SharedAddress>? {
    // Acquire — hazard:C. Pairs with hazard:I.
    let chunk = unsafe directory[number &>> Self.chunkShift].load(ordering: .acquiring)
    let offset = UInt(bitPattern: (number & (1 &<< Self.chunkShift &- 1)) &<< 7)
    guard chunk != 0 else { return nil }
    return unsafe UnsafeMutablePointer(bitPattern: chunk &+ offset)
  }

  /// A free slot for a scope of the calling thread: the first one of its line, or what the slow
  /// path finds.
  @inlinable @inline(__always)
  func beginScope() -> HazardScope {
    if let slot = unsafe line(HazardThread.number),
      // Relaxed: this thread alone writes it.
      unsafe slot.pointee.load(ordering: .relaxed) == 0
    {
      return unsafe HazardScope(slot, isHolders: false)
    }
    return beginScopeSlow()
  }

  @usableFromInline @inline(never)
  func beginScopeSlow() -> HazardScope {
    let line = ownLine()
    for index in 0..<HazardLine.scopes {
      if unsafe line.base[index].load(ordering: .relaxed) == 0 {
        return unsafe HazardScope(line.base + index, isHolders: false)
      }
    }
    return unsafe HazardScope(takeHolderSlot(), isHolders: true)
  }

  @inlinable @inline(__always)
  func endScope(_ scope: HazardScope) {
    // Release — hazard:R. The last use of the object comes before. Pairs with hazard:S.
    unsafe scope.slot.pointee.store(0, ordering: .releasing)
    if scope.isHolders { unsafe giveBackHolderSlot(scope.slot) }
  }

  /// The calling thread's line, made if it has to be; line 0 for a thread that cannot have one.
  func ownLine() -> HazardLine {
    let number = HazardThread.takeNumber()
    if let line = unsafe line(number) { return unsafe HazardLine(line) }
    addChunk(number >> Self.chunkShift)
    return ownLine()
  }

  /// Threads without a number share a line: no scope may take a slot there.
  private func blockScopes(ofLineAt line: UnsafeMutablePointer<SharedAddress>) {
    for index in 0..<HazardLine.scopes {
      unsafe line[index].store(HazardLine.blocked, ordering: .relaxed)
    }
  }

  private static var chunkBytes: Int { cacheLineStride << chunkShift }

  private func addChunk(_ index: Int) {
    let chunk = unsafe Self.mapped(Self.chunkBytes)
    for word in 0..<(Self.chunkBytes / 8) {
      unsafe (chunk.assumingMemoryBound(to: SharedAddress.self) + word)
        .initialize(to: SharedAddress(0))
    }
    if index == 0 {
      unsafe blockScopes(ofLineAt: chunk.assumingMemoryBound(to: SharedAddress.self))
    }
    // Sequentially consistent — hazard:I. The slots are zero before anyone finds them; and a scan
    // whose look at the directory comes before this has fenced before any protection in the chunk.
    // Pairs with hazard:C and hazard:F.
    let exchanged = unsafe directory[index].compareExchange(
      expected: 0, desired: UInt(bitPattern: chunk), successOrdering: .sequentiallyConsistent,
      failureOrdering: .acquiring
    ).exchanged
    if !exchanged { unsafe cpi_unmap(chunk, Self.chunkBytes) }
  }

  /// Memory for slots; without it no protection is possible, and nobody could go on.
  static func mapped(_ bytes: Int) -> UnsafeMutableRawPointer {
    guard let memory = unsafe cpi_map_zeroed(bytes) else {
      misuse("there is no memory for hazard pointers: cannot map \(bytes) bytes")
    }
    return unsafe memory
  }

  /// Every line of threads that there is.
  func forEachLine(_ body: (Int, HazardLine) -> Void) {
    let limit = HazardThread.limit
    for number in 0..<limit {
      if let line = unsafe line(number) { unsafe body(number, HazardLine(line)) }
    }
  }

  /// Gives all slots back, at the domain's end.
  func unmapChunks() {
    for index in 0..<Self.chunkCapacity {
      let chunk = unsafe directory[index].load(ordering: .relaxed)
      if let memory = unsafe UnsafeMutableRawPointer(bitPattern: chunk) {
        unsafe cpi_unmap(memory, Self.chunkBytes)
      }
    }
    unmapHolderChunks()
  }
}

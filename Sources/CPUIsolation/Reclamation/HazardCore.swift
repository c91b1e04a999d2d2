// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
public import Synchronization

/// Which fence a domain's readers and scans use.
@usableFromInline
enum HazardFencing {
  @usableFromInline static let full: UInt = 0
  @usableFromInline static let byTransition: UInt = 1
  @usableFromInline static let membarrier: UInt = 2
}

/// What readers know of their domain: constant.
@safe @usableFromInline
struct HazardReaderLine: ~Copyable {
  /// One of `HazardFencing`.
  @usableFromInline let fencing: UInt
  /// The CPUs of the coordinator whose transitions are the fence; no bytes where there is none.
  @usableFromInline let slots: UInt
  @usableFromInline let slotBytes: UInt

  init(fencing: UInt, slots: UInt, slotBytes: UInt) {
    self.fencing = fencing
    self.slots = slots
    self.slotBytes = slotBytes
  }
}

/// What scans and those who retire share.
@usableFromInline
struct HazardScanLine: ~Copyable {
  /// Full batches.
  let retired = IntrusiveStack()
  /// Batches that are empty, to be used again.
  let spare = IntrusiveStack()
  let spareCount = SharedWord(0)
  /// How many entries full batches have that no scan has taken.
  let due = SharedWord(0)
  /// How many slots holders have now: what a scan's threshold grows with.
  let holders = SharedWord(0)
  /// The chunks of holders' slots, the newest first.
  let holderChunks = SharedAddress(0)

  init() {}
}

/// A domain's memory, as a trivially copyable handle round one address.
///
///     offset     0  HazardReaderLine  constant
///              128  the number of scans: what a wildcard is dated with
///              256  HazardScanLine
///              512  isolated          a bit per CPU: those whose transitions are fences
///             1024  directory         the addresses of chunks of thread lines, 64 threads each
// Sendable: an address of memory in which every word is atomic or constant.
@frozen @safe @usableFromInline
struct HazardCore: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  @inlinable @inline(__always)
  init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  @inlinable @inline(__always)
  var reader: UnsafeMutablePointer<HazardReaderLine> {
    unsafe base.assumingMemoryBound(to: HazardReaderLine.self)
  }

  @inlinable @inline(__always)
  var scans: UnsafeMutablePointer<SharedWord> {
    unsafe (base + 128).assumingMemoryBound(to: SharedWord.self)
  }

  var scan: UnsafeMutablePointer<HazardScanLine> {
    unsafe (base + 256).assumingMemoryBound(to: HazardScanLine.self)
  }

  @inlinable @inline(__always)
  var isolated: UnsafeMutablePointer<UInt64> {
    unsafe (base + 512).assumingMemoryBound(to: UInt64.self)
  }

  @inlinable @inline(__always)
  var directory: UnsafeMutablePointer<SharedAddress> {
    unsafe (base + 1024).assumingMemoryBound(to: SharedAddress.self)
  }

  #if ModelChecking
    static let chunkCapacity = 1
    @usableFromInline static let chunkShift = 2
  #else
    /// How many chunks of thread lines there may be.
    static let chunkCapacity = 1024
    /// A chunk is for two to this power threads.
    @usableFromInline static var chunkShift: Int {
      @inlinable @inline(__always) get { 6 }
    }
  #endif
  static let isolatedWords = 64
  static let byteCount = 1024 + chunkCapacity * 8

  /// Lays a domain out in zeroed memory.
  init(
    initializing base: UnsafeMutableRawPointer, fencing: UInt, slots: CPUSlots?,
    isolated mask: CPUMask
  ) {
    unsafe self.base = unsafe base
    let bytes = (slots?.count ?? 0) * CPUSlot.stride
    unsafe reader.initialize(
      to: HazardReaderLine(
        fencing: fencing, slots: UInt(bitPattern: slots?.base), slotBytes: UInt(bytes)))
    unsafe scans.initialize(to: SharedWord(1))
    unsafe scan.initialize(to: HazardScanLine())
    for chunk in 0..<Self.chunkCapacity {
      unsafe (directory + chunk).initialize(to: SharedAddress(0))
    }
    for cpu in mask where cpu < Self.isolatedWords * 64 {
      unsafe isolated[cpu >> 6] |= 1 << UInt64(cpu & 63)
    }
  }

  /// Whether the calling thread's transitions are the fence for what it does now: it is an isolated
  /// CPU of the domain's coordinator, in kernel.
  ///
  /// Asked at each protection, so that threads may attach, leave for user and move as they like. The
  /// owner's copy of its state word says kernel only between the entry's addition to W and the store
  /// that ends the section.
  @inlinable @inline(__always)
  var isFencedByTransition: Bool {
    let cpu = HazardThread.cpu
    guard unsafe cpu &- reader.pointee.slots < reader.pointee.slotBytes else { return false }
    let owner = unsafe CPUSlot(
      base: UnsafeMutableRawPointer(bitPattern: cpu).unsafelyUnwrapped
    ).owner
    let number = unsafe owner.pointee.number.load(ordering: .relaxed)
    let isKernel = unsafe owner.pointee.word.load(ordering: .relaxed) & ContextWord.contextMask == 0
    let bits = unsafe isolated[Int(truncatingIfNeeded: number >> 6)]
    return isKernel && bits &>> (number & 63) & 1 != 0
  }
}

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
  /// Batches that are full, and those for which there was no line.
  let retired = Inbox()
  /// Batches that are empty, to be used again.
  let spare = Inbox()
  let spareCount = SharedWord(0)
  /// How many entries these batches have.
  let due = SharedWord(0)
  /// How many slots holders have now: what a scan's threshold grows with.
  let holders = SharedWord(0)
  /// The chunks of holders' slots, the newest first.
  let holderChunks = SharedAddress(0)
  /// What the objects hold that no pass has found, as far as whoever retired them said so.
  let bytes = SharedWord(0)
  /// Whether a reclaimer looks after the domain.
  let alarm = HazardAlarm()

  init() {}
}

/// A domain's memory, as a trivially copyable handle round one address.
///
///     offset     0  HazardReaderLine  constant
///              128  the number of scans: what a wildcard is dated with
///              256  HazardScanLine
///              512  lines             a `HazardLine` per thread
///
/// The lines are reserved for as many threads as can have numbers, and cost what is touched of them:
/// a page for 32 threads.
// Sendable: an address of memory in which every word is atomic or constant.
@frozen @safe @usableFromInline
struct HazardCore: @unchecked Sendable {
  @usableFromInline let base: Address

  @inlinable @inline(__always)
  init(base: Address) { self.base = base }

  @inlinable @inline(__always)
  var reader: HazardReaderLine {
    // Safety: the memory begins with the line, from initialisation on.
    unsafeAddress { unsafe base.line(HazardReaderLine.self, at: 0) }
  }

  @inlinable @inline(__always)
  var scans: Place<SharedWord> {
    // Safety: as above; the map says where.
    unsafe Place(base + 128)
  }

  var scan: HazardScanLine {
    // Safety: as above.
    unsafeAddress {
      unsafe base.line(HazardScanLine.self, at: 256)
    }
  }

  /// The line of a thread's number.
  @inlinable @inline(__always)
  func line(_ number: Int) -> Table<SharedAddress> {
    // Safety: there is a line for each number that a thread can have.
    unsafe Table(base + 512 + number &<< 7)
  }

  static let byteCount = 512 + Limits.hazardThreads * cacheLineStride

  /// Lays a domain out in zeroed memory. A slot is a word that is zero.
  init(initializing base: Address, fencing: UInt, slots: CPUSlots?) {
    self.base = base
    let bytes = (slots?.count ?? 0) * CPUSlot.stride
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(
      to: HazardReaderLine(
        fencing: fencing, slots: slots?.base.bits ?? 0, slotBytes: UInt(bytes)))
    scans.initialize(to: SharedWord(1))
    unsafe Place(base + 256).initialize(to: HazardScanLine())
    // Threads without a number share a line: no scope may take a slot there.
    for index in 0..<Limits.hazardScopes {
      line(0)[index].store(HazardLine.blocked, ordering: .relaxed)
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
    let cpu = HazardThread.fencedCPU
    guard cpu &- reader.slots < reader.slotBytes else { return false }
    // Safety: the address is between those of the coordinator's slots.
    let slot = unsafe CPUSlot(base: Address(at: cpu).unsafelyUnwrapped)
    return slot.owner.word.load(ordering: .relaxed) & ContextWord.contextMask == 0
  }
}

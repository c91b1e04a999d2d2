// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What is needed to record: a ring for every CPU and one for all other threads, and the filters.
/// A trivially copyable handle round one address.
///
///     offset    0  TraceHeader  constants
///              64  recorded     the events that go into the rings, a bit each
///             128  readers      threads that are no CPUs and look at a filter right now: two counts
///             144  turn         which of the counts new readers use
///             256  filters      per event the address of its filter's program, or 0
///             768  rings        those of the CPUs, then the shared one
// Sendable: an address of memory in which every word is atomic or constant.
@safe
struct TraceBuffers: @unchecked Sendable {
  let base: Address

  private struct Header {
    var rings: Int
    var events: Int
    var payloadWords: Int
    var ringBytes: Int
  }

  /// How many events there may be: a bit each in the word that says which are recorded.
  static let eventCapacity = 64

  private static var ringsOffset: Int { 256 + eventCapacity * 8 }

  /// The bytes of the payload's words for the widest built-in event: the common fields, three
  /// words of fields, and a mask of so many CPUs.
  static func payloadWords(cpus: Int) -> Int { max(6, 4 + (cpus + 63) / 64) }

  static func byteCount(cpus: Int, events: Int, payloadWords: Int) -> Int {
    ringsOffset + (cpus + 1) * TraceRing.byteCount(events: events, payloadWords: payloadWords)
  }

  /// Lays the buffers out in zeroed memory, which is the first state of a ring.
  init(
    initializing base: Address, cpus: Int, events: Int, payloadWords: Int
  ) {
    self.base = base
    // Safety: the memory is this long, and nobody else has it yet.
    unsafe Place(base).initialize(
      to: Header(
        rings: cpus + 1, events: events, payloadWords: payloadWords,
        ringBytes: TraceRing.byteCount(events: events, payloadWords: payloadWords)))
  }

  init(base: Address) { self.base = base }

  // Safety: the memory begins with it, from initialisation on.
  private var header: Header { unsafe Place(base).value }

  var payloadWords: Int { header.payloadWords }

  private var recorded: Place<SharedWord> {
    // Safety: the map above says where.
    unsafe Place(base + 64)
  }

  /// Whether an event goes into the rings: it may be handed on for its static probe alone.
  @inline(__always)
  func records(_ event: TraceEvent) -> Bool {
    recorded.value.load(ordering: .relaxed) & event.bit != 0
  }

  /// Has these events go into the rings from now on.
  func setRecorded(_ events: UInt64) { recorded.value.store(events, ordering: .relaxed) }

  /// The number of the ring that threads share which are no CPUs.
  var sharedRing: Int { header.rings &- 1 }

  var rings: Range<Int> { 0..<header.rings }

  @inline(__always)
  func ring(_ index: Int) -> TraceRing {
    let header = header
    return TraceRing(
      base: base + Self.ringsOffset + index &* header.ringBytes,
      mask: UInt64(truncatingIfNeeded: header.events &- 1), payloadWords: header.payloadWords,
      isShared: index == header.rings &- 1)
  }

  private var readers: Table<SharedWord> {
    // Safety: the map above says where.
    unsafe Table(base + 128)
  }

  private var turn: Place<SharedWord> {
    // Safety: as above.
    unsafe Place(base + 144)
  }

  private func filter(_ event: Int) -> Place<SharedAddress> {
    // Safety: as above; there is one for each event.
    unsafe Table<SharedAddress>(base + 256).place(event)
  }

  /// Records an event, unless its filter says no. The payload's first word is written here: the
  /// event's number and the thread. The time 0 stands for now: the clock is looked at after the
  /// filter, since the look costs more than most filters.
  ///
  /// Wait-free. `isProtected` says that the caller is a CPU in kernel, so that a grace period waits
  /// for it; any other thread counts itself among the readers of filters while it looks at one.
  @inline(__always)
  func record(
    _ event: TraceEvent, ring index: Int, isProtected: Bool, at time: UInt64,
    _ payload: Table<UInt64>, words: Int
  ) {
    payload[0] =
      UInt64(event.number)
      | UInt64(UInt32(bitPattern: CurrentThread.knownID)) << 32
    if filter(event.index).value.load(ordering: .relaxed) != 0 {
      let passes = withFilter(of: event.index, isProtected: isProtected) { program in
        guard let program else { return true }
        // Safety: the payload has as many words.
        let record = unsafe UnsafeRawBufferPointer(start: payload.first.pointer, count: words &* 8)
        return unsafe program.matches(FilterBytes(record), cpu: index, taskName: nil)
      }
      if !passes { return }
    }
    _ = ring(index).write(payload, words: words, at: time == 0 ? cpi_cycles() : time)
  }

  /// Lends the event's filter, which is not freed before the body has returned.
  ///
  /// The argument against whoever changes the filter and then asks for `unreadSides`, for a thread
  /// that is no CPU: both sides write one word and then read the other's.
  /// - If our addition comes before the look at our count, that look finds us, and the old program
  ///   stays until a later look at that count does not.
  /// - Else the change came before our look at the filter, and we see the new program.
  /// A CPU in kernel counts nothing: the grace period that begins after the change waits for it.
  @inline(__always)
  func withFilter<Result>(
    of event: Int, isProtected: Bool, _ body: (FilterProgram?) -> Result
  ) -> Result {
    var side = 0
    if !isProtected {
      // Relaxed: either count will do, since both are looked at.
      side = Int(truncatingIfNeeded: turn.value.load(ordering: .relaxed))
      // Sequentially consistent — filter:R. We are counted before we look at the filter. Dekker
      // with gracePeriod:F between filter:W and filter:C.
      readers[side].wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
    // Sequentially consistent — filter:L. After filter:R, or after the entry of the CPU; the
    // program that it leads to was written before. Pairs with filter:W.
    let address = filter(event).value.load(ordering: .sequentiallyConsistent)
    let result = body(
      Address(at: address).map { FilterProgram(base: $0) })
    if !isProtected {
      // Release — filter:D. Our last look at the program comes before. Pairs with filter:C.
      readers[side].wrappingAdd(0 &- 1, ordering: .releasing)
    }
    return result
  }

  /// Puts another filter in the place of an event's. The old one may be in use until a grace period
  /// that began later is over, and `unreadSides` has named either side since that began.
  func setFilter(_ program: FilterProgram?, of event: Int) {
    // Release — filter:W. Publishes the program. Pairs with filter:L. The fence with which a grace
    // period begins (gracePeriod:F) keeps it before the look at the readers.
    filter(event).value.store(
      program?.base.bits ?? 0, ordering: .releasing)
  }

  /// The two sides, as bits; no reader is left of those that came before a change once each has been
  /// named after it.
  static let bothSides: UInt64 = 0b11

  /// The sides, as bits, on which no thread that is no CPU looks at a filter right now. To be asked
  /// after the beginning of a grace period, by one thread at a time.
  ///
  /// New readers are led to the side that has become empty, so that the other one does as well,
  /// however many keep coming.
  func unreadSides() -> UInt64 {
    var sides: UInt64 = 0
    for side in 0...1 {
      // Acquire — filter:C. After gracePeriod:F: a reader that is not counted here sees the new
      // filter. Pairs with filter:R and filter:D.
      if readers[side].load(ordering: .acquiring) == 0 { sides |= 1 << UInt64(side) }
    }
    // Relaxed: the asker's own.
    let next = turn.value.load(ordering: .relaxed) ^ 1
    // Relaxed: readers who see it late use the other count, at which the next look is directed too.
    if sides >> next & 1 != 0 { turn.value.store(next, ordering: .relaxed) }
    return sides
  }
}

/// An event as recording knows it: its place among the events of a coordinator, and its number in
/// records.
@frozen @usableFromInline
struct TraceEvent: Hashable, Sendable {
  @usableFromInline let index: Int
  @usableFromInline let number: UInt16

  @inlinable @inline(__always)
  var bit: UInt64 { 1 &<< UInt64(truncatingIfNeeded: index) }

  init(index: Int, number: UInt16) {
    self.index = index
    self.number = number
  }
}

// SPDX-License-Identifier: Apache-2.0

/// How the pages of a trace are laid out.
///
/// ```
/// timestamp 8 | commit 4 or 8: bytes used, flags on top | events … | count of the lost
/// ```
///
/// - Source: the kernel's ring buffer (kernel/trace/ring_buffer.c, Linux); trace-cmd.dat.v6(5).
struct TracePageLayout: Sendable, Equatable {
  var pageSize = 4096
  /// Of the kernel that recorded: the size of the field `commit`.
  var longSize = 8
  var order = TraceByteOrder.little

  var headerSize: Int { 8 + longSize }
  var capacity: Int { pageSize - headerSize }
  /// A page below this would not hold its own head; one above is a damaged number.
  var isPlausible: Bool {
    (longSize == 4 || longSize == 8) && pageSize >= 64 && pageSize <= 1 << 24
  }

  /// Bits of the commit field. What is left is the number of bytes used.
  static let lostFlag: UInt64 = 1 << 31
  static let lostCountFlag: UInt64 = 1 << 30
  static let usedMask: UInt64 = (1 << 27) - 1

  /// Five bits of an event's first word; 1 to 28 are the payload's length in words. The compiler
  /// of the kernel lays bit fields out from the low end, or from the high one on a big-endian
  /// machine.
  enum Kind {
    static let longData: UInt32 = 0
    static let maximumWords: UInt32 = 28
    static let padding: UInt32 = 29
    static let timeExtend: UInt32 = 30
    static let timeStamp: UInt32 = 31
  }

  /// How many bits of a time difference are in an event's first word.
  static let deltaBits = 27
  /// An absolute time stamp has 59 bits; the ones above come from the stamp before it.
  static let stampBits = 59
}

/// How many events are missing before a record.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum TraceLoss: Sendable, Equatable {
  /// This many.
  case events(UInt64)
  /// The recorder did not count them.
  case unknown
}

/// One page of one CPU, checked whole before any event of it is given out.
struct TracePage: Sendable {
  struct Event: Sendable {
    let timestamp: UInt64
    private let start: UInt32
    private let count: UInt32

    init(timestamp: UInt64, start: Int, count: Int) {
      self.timestamp = timestamp
      self.start = UInt32(start)
      self.count = UInt32(count)
    }

    /// Where it lies in the bytes that the page was decoded from.
    var payload: Range<Int> { Int(start)..<Int(start) + Int(count) }
  }

  private(set) var events: [Event] = []
  private(set) var loss: TraceLoss?

  /// Where a page is wrong: an offset in it, and why.
  struct Flaw: Error {
    var offset: Int
    var reason: String
  }

  init() {}

  /// Finds the events of the page that begins at `start`, in place of those it had.
  mutating func decode(
    _ bytes: borrowing RawSpan, at start: Int, _ layout: TracePageLayout
  ) throws(Flaw) {
    events.removeAll(keepingCapacity: true)
    loss = nil
    let page = bytes.extracting(start..<min(bytes.byteCount, start + layout.pageSize))
    guard let stamp: UInt64 = page.number(at: 0, layout.order),
      let commit = page.unsigned(at: 8, size: layout.longSize, layout.order)
    else { throw Flaw(offset: 0, reason: "a page needs \(layout.headerSize) bytes") }
    let used = Int(commit & TracePageLayout.usedMask)
    let end = layout.headerSize + used
    guard end <= page.byteCount else {
      throw Flaw(
        offset: 8,
        reason: "the page says that \(used) bytes of it are used; it has "
          + "\(page.byteCount - layout.headerSize)")
    }
    if commit & TracePageLayout.lostFlag != 0 {
      loss = .unknown
      if commit & TracePageLayout.lostCountFlag != 0,
        let count = page.unsigned(at: end, size: layout.longSize, layout.order)
      {
        loss = .events(count)
      }
    }
    try decode(page.extracting(..<end), from: layout.headerSize, stamp, start, layout.order)
  }

  /// `used`: the page as far as it is used. `start`: where the page lies.
  private mutating func decode(
    _ used: RawSpan, from head: Int, _ stamp: UInt64, _ start: Int, _ order: TraceByteOrder
  ) throws(Flaw) {
    typealias Kind = TracePageLayout.Kind
    let end = used.byteCount
    var time = stamp
    var position = head
    while position < end {
      let word = try Self.word(used, at: position, order, ofEventAt: position)
      let kind = order == .little ? word & 31 : word >> 27
      let delta = UInt64(order == .little ? word >> 5 : word & (1 << 27 - 1))
      switch kind {
      case Kind.padding:
        if delta == 0 { return }  // Nothing follows on this page.
        time &+= delta
        // The length counts from the end of the first word.
        position += 4 + Int(try Self.word(used, at: position + 4, order, ofEventAt: position))
        guard position <= end else {
          throw Flaw(offset: position, reason: "padding ends after what is used of its page")
        }
      case Kind.timeExtend, Kind.timeStamp:
        let second = try Self.word(used, at: position + 4, order, ofEventAt: position)
        let value = UInt64(second) << TracePageLayout.deltaBits &+ delta
        if kind == Kind.timeExtend {
          time &+= value
        } else {
          let mask = UInt64(1) << TracePageLayout.stampBits - 1
          time = time & ~mask | value & mask
        }
        position += 8
      default:
        time &+= delta
        var payload = position + 4
        var length = Int(kind) * 4
        if kind == Kind.longData {
          let size = try Self.word(used, at: payload, order, ofEventAt: position)
          length = (Int(size) - 4 + 3) & ~3
          payload += 4
        }
        guard length >= 4, payload + length <= end else {
          throw Flaw(
            offset: position,
            reason: "an event of \(length) bytes ends after what is used of its page")
        }
        events.append(Event(timestamp: time, start: start + payload, count: length))
        position = payload + length
      }
    }
  }

  @inline(__always)
  private static func word(
    _ used: RawSpan, at offset: Int, _ order: TraceByteOrder, ofEventAt position: Int
  ) throws(Flaw) -> UInt32 {
    guard let word: UInt32 = used.number(at: offset, order) else {
      throw Flaw(offset: position, reason: "an event ends after what is used of its page")
    }
    return word
  }
}

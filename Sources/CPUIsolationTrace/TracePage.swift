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

  /// The low five bits of an event's first word; 1 to 28 are the payload's length in words.
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
    var timestamp: UInt64
    var payload: Range<Int>
  }

  let bytes: [UInt8]
  private(set) var events: [Event] = []
  private(set) var loss: TraceLoss?

  /// Where a page is wrong: an offset in it, and why.
  struct Flaw: Error {
    var offset: Int
    var reason: String
  }

  init(_ bytes: [UInt8], layout: TracePageLayout) throws(Flaw) {
    self.bytes = bytes
    guard let stamp: UInt64 = bytes.littleEndian(at: 0),
      let commit = bytes.unsigned(at: 8, size: layout.longSize)
    else { throw Flaw(offset: 0, reason: "a page needs \(layout.headerSize) bytes") }
    let used = Int(commit & TracePageLayout.usedMask)
    let end = layout.headerSize + used
    guard end <= bytes.count else {
      throw Flaw(
        offset: 8,
        reason: "the page says that \(used) bytes of it are used; it has "
          + "\(bytes.count - layout.headerSize)")
    }
    if commit & TracePageLayout.lostFlag != 0 {
      loss = .unknown
      if commit & TracePageLayout.lostCountFlag != 0,
        let count = bytes.unsigned(at: end, size: layout.longSize)
      {
        loss = .events(count)
      }
    }
    try decode(from: layout.headerSize, to: end, stamp)
  }

  private mutating func decode(from start: Int, to end: Int, _ stamp: UInt64) throws(Flaw) {
    typealias Kind = TracePageLayout.Kind
    var time = stamp
    var position = start

    /// The word behind the first one of the event at `position`.
    func second() throws(Flaw) -> UInt32 {
      guard position + 8 <= end, let word: UInt32 = bytes.littleEndian(at: position + 4) else {
        throw Flaw(offset: position, reason: "an event ends behind what is used of its page")
      }
      return word
    }

    while position < end {
      guard position + 4 <= end, let word: UInt32 = bytes.littleEndian(at: position) else {
        throw Flaw(offset: position, reason: "an event ends behind what is used of its page")
      }
      let kind = word & 31
      let delta = UInt64(word >> 5)
      switch kind {
      case Kind.padding:
        if delta == 0 { return }  // Nothing follows on this page.
        time &+= delta
        // The length counts from behind the first word.
        position += 4 + Int(try second())
        guard position <= end else {
          throw Flaw(offset: position, reason: "padding ends behind what is used of its page")
        }
      case Kind.timeExtend:
        time &+= UInt64(try second()) << TracePageLayout.deltaBits &+ delta
        position += 8
      case Kind.timeStamp:
        let low = UInt64(try second()) << TracePageLayout.deltaBits &+ delta
        let mask = UInt64(1) << TracePageLayout.stampBits - 1
        time = time & ~mask | low & mask
        position += 8
      default:
        time &+= delta
        var payload = position + 4
        var length = Int(kind) * 4
        if kind == Kind.longData {
          length = Int(try second()) - 4
          payload += 4
          length = (length + 3) & ~3
        }
        guard length >= 4, payload + length <= end else {
          throw Flaw(
            offset: position,
            reason: "an event of \(length) bytes ends behind what is used of its page")
        }
        events.append(Event(timestamp: time, payload: payload..<payload + length))
        position = payload + length
      }
    }
  }
}

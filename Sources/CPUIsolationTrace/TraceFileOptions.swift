// SPDX-License-Identifier: Apache-2.0

/// Numbers of the options in a trace file.
///
/// - Source: trace-cmd.dat.v7(5); those up to `strings` mean the same in version 6.
enum TraceFileOption {
  static let end: UInt16 = 0
  /// Microseconds to the time of day.
  static let date: UInt16 = 1
  static let cpuStatistics: UInt16 = 2
  static let buffer: UInt16 = 3
  static let clock: UInt16 = 4
  static let systemName: UInt16 = 5
  static let hook: UInt16 = 6
  /// Nanoseconds to add.
  static let offset: UInt16 = 7
  static let cpuCount: UInt16 = 8
  static let version: UInt16 = 9
  static let memoryMaps: UInt16 = 10
  static let traceID: UInt16 = 11
  static let timeShift: UInt16 = 12
  static let guest: UInt16 = 13
  static let tickRate: UInt16 = 14
  /// Where texts are that describe sections.
  static let strings: UInt16 = 15
  static let headerInfo: UInt16 = 16
  static let ftraceFormats: UInt16 = 17
  static let eventFormats: UInt16 = 18
  static let symbols: UInt16 = 19
  static let printk: UInt16 = 20
  static let threadNames: UInt16 = 21
  static let latencyText: UInt16 = 22
}

/// What the options of a trace file say about its times and machines.
struct TraceFileOptions: Sendable {
  var clock = "local"
  /// The kernel that recorded: its name, the machine's, the kernel's release, the kind of machine.
  var systemName = ""
  /// What is added to every time: nanoseconds from the recorder's clock to another one.
  var timeOffset: Int64 = 0
  /// Whether the times are those of a calendar, whatever the clock.
  var hasDate = false
  var timeShift: TraceTimeShift?
  var tickRate: TraceTickRate?
  var traceID: UInt64?
  var guests: [TraceRecording.Guest] = []
  /// As they came, for a file that is written.
  private(set) var kept: [(option: UInt16, body: [UInt8])] = []
  /// What is not honoured, and what of the file is left out.
  var warnings: [TraceFileError] = []
  /// Whether one of those is an instance.
  var leavesInstanceOut = false
  private var unknown: Set<UInt16> = []

  /// The one that is chosen is in brackets: `[local] global counter …`.
  static func clock(in option: [UInt8]) -> String? {
    guard let open = option.firstIndex(of: UInt8(ascii: "[")),
      let close = option[open...].firstIndex(of: UInt8(ascii: "]"))
    else { return nil }
    return String(decoding: option[(open + 1)..<close], as: UTF8.self)
  }

  /// The options that mean the same in both versions.
  mutating func read(_ option: UInt16, _ part: TraceCursor) throws(TraceFileError) {
    var fields = part
    let body = try fields.rest(of: "option \(option)")
    fields = part
    switch option {
    case TraceFileOption.clock: clock = Self.clock(in: body) ?? clock
    case TraceFileOption.date:
      hasDate = true
      timeOffset &+= Self.number(in: body) &* 1000
    case TraceFileOption.offset: timeOffset &+= Self.number(in: body)
    case TraceFileOption.tickRate:
      keep(option, body)
      tickRate = unsafe TraceTickRate(body.span.bytes, part.order)
      if tickRate == nil { warn(part, "option TSC2NSEC is no rate: times are ticks") }
    case TraceFileOption.timeShift:
      keep(option, body)
      timeShift = unsafe TraceTimeShift(body.span.bytes, part.order)
      if timeShift == nil { warn(part, "option TIME_SHIFT ends too early: times are the guest's") }
    case TraceFileOption.traceID:
      keep(option, body)
      traceID = unsafe body.span.bytes.number(at: 0, part.order)
    case TraceFileOption.guest:
      keep(option, body)
      guests.append(try TraceRecording.Guest(&fields))
    case TraceFileOption.systemName:
      keep(option, body)
      systemName = String(decoding: body.prefix { $0 != 0 }, as: UTF8.self)
    case TraceFileOption.cpuStatistics, TraceFileOption.hook, TraceFileOption.version,
      TraceFileOption.memoryMaps:
      keep(option, body)
    case TraceFileOption.cpuCount, TraceFileOption.strings: break
    case TraceFileOption.latencyText:
      warn(part, "the text of a latency tracer is left out")
    default:
      guard unknown.insert(option).inserted else { break }
      warn(part, "option \(option) is not known here, and not honoured")
    }
  }

  private mutating func keep(_ option: UInt16, _ body: [UInt8]) { kept.append((option, body)) }

  private mutating func warn(_ part: TraceCursor, _ reason: String) {
    warnings.append(part.error(.unsupported, at: part.offset, reason))
  }

  /// A decimal number, or a hexadecimal one after `0x`; what is no number is 0.
  private static func number(in option: [UInt8]) -> Int64 {
    var text = String(decoding: option.prefix { $0 != 0 }, as: UTF8.self).trimmed
    let isNegative = text.hasPrefix("-")
    if isNegative || text.hasPrefix("+") { text = text.dropFirst() }
    let magnitude =
      text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    let value = Int64(bitPattern: magnitude ?? 0)
    return isNegative ? 0 &- value : value
  }
}

extension TraceRecording {
  /// A virtual machine whose own trace belongs to this one.
  ///
  /// - Source: the option GUEST of trace-cmd.dat.v7(5).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Guest: Sendable, Equatable {
    /// What the host calls it.
    public let name: String
    /// The `traceID` of its recording.
    public let traceID: UInt64
    /// The host's threads that are its CPUs.
    public let threads: [Int: Int32]

    init(_ fields: inout TraceCursor) throws(TraceFileError) {
      name = try fields.text("the name of a guest")
      traceID = try fields.number("the identifier of a guest's trace")
      let count: UInt32 = try fields.number("the number of a guest's CPUs")
      var threads: [Int: Int32] = [:]
      for _ in 0..<count {
        let cpu: UInt32 = try fields.number("a CPU of a guest")
        let thread: UInt32 = try fields.number("the thread of a guest's CPU")
        threads[Int(cpu)] = Int32(bitPattern: thread)
      }
      self.threads = threads
    }
  }

  /// What identifies the session that was recorded, where the recorder says so: a host and its
  /// guests name each other's.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var traceID: UInt64? { options.traceID }

  /// The virtual machines that were traced together with this one.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var guests: [Guest] { options.guests }

  /// What of the file is left out because it is damaged, and what in it is not understood. The rest
  /// does not depend on it.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var warnings: [TraceFileError] { options.warnings }
}

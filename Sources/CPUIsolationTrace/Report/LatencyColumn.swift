// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What was going on where an event was recorded: `d.h2.` for interrupts that are off, in the handler
/// of one, with preemption disabled twice.
///
/// - Source: `print_lat_fmt` (kernel/trace/trace_output.c, Linux 6.18); for trace-cmd's form,
///   `trace-cmd report` (trace-cmd 3.3.3 with libtraceevent 1.8.4).
struct LatencyColumn: Sendable {
  private let style: TraceTextReport.Style
  /// Whether the kernel tells a pending reschedule of the thread from one of preemption: it did not
  /// before 3.13, nor do files that other programs write.
  private let hasBothReschedules: Bool
  /// Whether the second bit is a lazy reschedule, and not the lack of a state of interrupts.
  private let hasLazy: Bool
  /// Fields after the preemption count, of kernels that have them.
  private let more: [TraceEventFormat.Field]

  /// Bits of `common_flags`.
  private enum Flag {
    static let interruptsOff: UInt8 = 0x01
    static let lazyReschedule: UInt8 = 0x02
    static let reschedule: UInt8 = 0x04
    static let hardInterrupt: UInt8 = 0x08
    static let softInterrupt: UInt8 = 0x10
    static let preemptReschedule: UInt8 = 0x20
    static let nonMaskable: UInt8 = 0x40
    static let bottomHalfOff: UInt8 = 0x80
  }

  init(_ recording: TraceRecording, style: TraceTextReport.Style) {
    self.style = style
    let release = KernelRelease(of: recording)
    hasBothReschedules = release.map { $0 >= KernelRelease(3, 13) } ?? false
    hasLazy = release.map { $0 >= KernelRelease(6, 13) } ?? true
    let common = recording.formats.values.first?.fields ?? []
    more = ["common_migrate_disable", "common_preempt_lazy_count", "common_lock_depth"].compactMap {
      name in common.first { $0.name == name }
    }
  }

  func append(_ record: RawSpan, to line: inout [UInt8]) {
    let flags = record.byte(at: 2)
    let count = record.byte(at: 3)
    if flags == 0, count == 0, more.isEmpty {
      line.append(".....")
      return
    }
    func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
    let isHard = has(Flag.hardInterrupt)
    let isSoft = has(Flag.softInterrupt)
    switch style {
    case .kernel:
      let isOff = has(Flag.interruptsOff)
      line.append(
        isOff && has(Flag.bottomHalfOff)
          ? UInt8(ascii: "D")
          : isOff
            ? UInt8(ascii: "d")
            : has(Flag.bottomHalfOff)
              ? UInt8(ascii: "b")
              : has(Flag.lazyReschedule) && !hasLazy ? UInt8(ascii: "X") : UInt8(ascii: "."))
      line.append(reschedule(flags))
      line.append(
        has(Flag.nonMaskable)
          ? (isHard ? UInt8(ascii: "Z") : UInt8(ascii: "z")) : Self.interrupt(isHard, isSoft))
    case .traceCmd:
      line.append(
        has(Flag.interruptsOff)
          ? UInt8(ascii: "d") : has(Flag.lazyReschedule) ? UInt8(ascii: "X") : UInt8(ascii: "."))
      line.append(has(Flag.reschedule) ? UInt8(ascii: "N") : UInt8(ascii: "."))
      line.append(Self.interrupt(isHard, isSoft))
    }
    for digit in [count & 15, count >> 4] { line.appendCount(Int64(digit)) }
    for field in more { line.appendCount(Int64(bitPattern: record.number(of: field))) }
  }

  private static func interrupt(_ isHard: Bool, _ isSoft: Bool) -> UInt8 {
    isHard && isSoft
      ? UInt8(ascii: "H")
      : isHard ? UInt8(ascii: "h") : isSoft ? UInt8(ascii: "s") : UInt8(ascii: ".")
  }

  private func reschedule(_ flags: UInt8) -> UInt8 {
    let isThread = flags & Flag.reschedule != 0
    let isPreemption = flags & Flag.preemptReschedule != 0
    let isLazy = hasLazy && flags & Flag.lazyReschedule != 0
    return switch (isThread, isLazy, isPreemption) {
    case (true, true, true): UInt8(ascii: "B")
    case (true, false, true): UInt8(ascii: "N")
    case (false, true, true): UInt8(ascii: "L")
    case (true, true, false): UInt8(ascii: "b")
    case (true, false, false): hasBothReschedules ? UInt8(ascii: "n") : UInt8(ascii: "N")
    case (false, true, false): UInt8(ascii: "l")
    case (false, false, true): UInt8(ascii: "p")
    case (false, false, false): UInt8(ascii: ".")
    }
  }
}

extension [UInt8] {
  /// How deep something is nested: a point where it is not.
  fileprivate mutating func appendCount(_ count: Int64) {
    if count > 0 { appendHexadecimal(UInt64(count)) } else { append(UInt8(ascii: ".")) }
  }
}

/// The first two numbers of a kernel's release.
struct KernelRelease: Comparable {
  var major: Int
  var minor: Int

  init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// `Linux host 6.18.44-amd64 x86_64`; nil if the file does not say it so.
  init?(of recording: TraceRecording) {
    let words = recording.options.systemName.split(separator: " ")
    guard words.count > 2 else { return nil }
    let parts = words[2].split(separator: ".").prefix(2).map { Int($0.prefix { $0.isNumber }) }
    guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
    self.init(major, minor)
  }

  static func < (a: KernelRelease, b: KernelRelease) -> Bool {
    (a.major, a.minor) < (b.major, b.minor)
  }
}

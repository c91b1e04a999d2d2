// SPDX-License-Identifier: Apache-2.0

/// What makes a CPU's time stamps the recording's times.
///
/// In this order: what was measured between two machines, then the rate of ticks, then an offset.
///
/// - Source: `trace-cmd report` (3.1.6) of files with one or several of the options. It adds no
///   offset of the option TSC2NSEC either, which is the time at which a recording began.
struct TraceTimeConversion: Sendable {
  private let offset: UInt64
  private let shift: TraceTimeShift.Correction?
  private let rate: TraceTickRate?
  private let isOffset: Bool

  init(
    offset: Int64 = 0, shift: TraceTimeShift.Correction? = nil, rate: TraceTickRate? = nil
  ) {
    self.offset = UInt64(bitPattern: offset)
    self.shift = shift
    self.rate = rate
    isOffset = shift == nil && rate == nil
  }

  func converted(_ stamp: UInt64) -> UInt64 {
    if isOffset { return stamp &+ offset }
    var time = stamp
    if let shift { time = shift.corrected(time) }
    if let rate { time = rate.nanoseconds(time) }
    return time &+ offset
  }
}

/// How many nanoseconds a tick of the recording's clock is: the option TSC2NSEC.
struct TraceTickRate: Sendable, Equatable {
  private let multiplier: UInt32
  private let shift: UInt32

  /// nil if the bytes are too few, or no rate: then stamps are taken as they are.
  init?(_ option: RawSpan, _ order: TraceByteOrder) {
    guard option.byteCount >= 16, let multiplier: UInt32 = option.number(at: 0, order),
      let shift: UInt32 = option.number(at: 4, order), multiplier > 0, shift < 64
    else { return nil }
    self.multiplier = multiplier
    self.shift = shift
  }

  func nanoseconds(_ ticks: UInt64) -> UInt64 {
    let product = ticks.multipliedFullWidth(by: UInt64(multiplier))
    // A shift by 64 is 0 in Swift.
    return product.high << UInt64(64 - shift) | product.low >> UInt64(shift)
  }
}

/// How far the clock of a guest is from that of its host, at times that were measured: the option
/// TIME_SHIFT.
struct TraceTimeShift: Sendable {
  struct Sample: Sendable {
    var time: UInt64
    var offset: Int64
    var scaling: UInt64
    /// How many bits of `scaling` are its fraction.
    var fraction: UInt64 = 0
  }

  /// Of one CPU.
  struct Correction: Sendable {
    fileprivate let samples: [Sample]
    fileprivate let interpolates: Bool

    /// Two samples are around a time, or next to it; the first one's offset and scaling count, and
    /// between offsets a line is drawn if the option says so.
    func corrected(_ time: UInt64) -> UInt64 {
      guard samples.count > 1 else {
        return time &+ UInt64(bitPattern: samples.first?.offset ?? 0)
      }
      let after = samples.firstIndex { $0.time > time } ?? samples.count
      let index = min(max(after - 1, 0), samples.count - 2)
      let (first, second) = (samples[index], samples[index + 1])
      var offset = Int128(first.offset)
      let span = Int128(second.time) - Int128(first.time)
      if interpolates, span > 0 {
        let rise = Int128(second.offset) - Int128(first.offset)
        let (product, overflow) = (Int128(time) - Int128(first.time))
          .multipliedReportingOverflow(by: rise)
        if !overflow { offset += (product + span / 2) / span }
      }
      let scaled = UInt128(time).multipliedReportingOverflow(by: UInt128(first.scaling))
        .partialValue
      return UInt64(truncatingIfNeeded: scaled >> UInt128(first.fraction))
        &+ UInt64(truncatingIfNeeded: offset)
    }
  }

  /// The identifier of the trace whose clock the corrected times are of.
  let peer: UInt64
  private let corrections: [Correction]

  private static let interpolation: UInt32 = 1

  /// nil if the bytes end too early.
  init?(_ option: RawSpan, _ order: TraceByteOrder) {
    guard let peer: UInt64 = option.number(at: 0, order),
      let flags: UInt32 = option.number(at: 8, order),
      let cpus: UInt32 = option.number(at: 12, order)
    else { return nil }
    var offset = 16
    func next<Number: TraceNumber>(_ type: Number.Type, _ offset: inout Int) -> Number? {
      defer { offset += MemoryLayout<Number>.size }
      return option.number(at: offset, order)
    }
    var samples: [[Sample]] = []
    for _ in 0..<cpus {
      guard let count = next(UInt32.self, &offset),
        UInt64(count) * 24 <= UInt64(max(0, option.byteCount - offset))
      else { return nil }
      var list: [Sample] = []
      for index in 0..<Int(count) {
        func value(_ column: Int) -> UInt64 {
          option.number(at: offset + 8 * (column * Int(count) + index), order) ?? 0
        }
        list.append(
          Sample(time: value(0), offset: Int64(bitPattern: value(1)), scaling: value(2)))
      }
      offset += 24 * Int(count)
      samples.append(list)
    }
    // Older writers have no fractions.
    for cpu in samples.indices {
      for index in samples[cpu].indices {
        guard let fraction = next(UInt64.self, &offset) else { break }
        samples[cpu][index].fraction = min(fraction, 127)
      }
    }
    self.peer = peer
    corrections = samples.map { list in
      Correction(
        samples: list.sorted { $0.time < $1.time },
        interpolates: flags & Self.interpolation != 0)
    }
  }

  /// nil for a CPU that was not measured.
  func correction(ofCPU cpu: Int) -> Correction? {
    corrections.indices.contains(cpu) && !corrections[cpu].samples.isEmpty
      ? corrections[cpu] : nil
  }
}

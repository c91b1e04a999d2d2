// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Turns the numbers of events that a big-endian machine recorded, so that what comes after the
/// pages need not know of such machines.
struct TracePayloadSwapper: Sendable {
  private let fields: [Int: [TraceEventFormat.Field]]
  private let longSize: Int

  init(_ formats: [Int: TraceEventFormat], longSize: Int) {
    // The arguments of trace_printk are numbers and texts in one: only its text tells them apart.
    fields = formats.mapValues { format in
      format.fields.filter { format.name != "bprint" || $0.name != "buf" }
    }
    self.longSize = longSize
  }

  /// Of an event without a format the common fields are turned: its number and its thread.
  func swap(_ events: [TracePage.Event], in window: inout [UInt8]) {
    for event in events {
      let payload = event.payload
      guard let number: UInt16 = unsafe window.span.bytes.number(at: payload.lowerBound, .big)
      else {
        continue
      }
      guard let fields = fields[Int(number)] else {
        Self.swap(&window, at: payload.lowerBound, size: 2, count: 1, payload)
        Self.swap(&window, at: payload.lowerBound + 4, size: 4, count: 1, payload)
        continue
      }
      for field in fields { swap(field, in: &window, payload) }
    }
  }

  private func swap(
    _ field: TraceEventFormat.Field, in window: inout [UInt8], _ payload: Range<Int>
  ) {
    let start = payload.lowerBound + field.offset
    guard field.isLocation else {
      // A field of no size goes on to the end.
      let length = field.size == 0 ? payload.upperBound - start : field.size
      let size = field.isArray ? field.elementSize(longSize) : length
      Self.swap(&window, at: start, size: size, count: length / max(size, 1), payload)
      return
    }
    Self.swap(&window, at: start, size: field.size, count: 1, payload)
    guard field.size == 4, start + 4 <= payload.upperBound,
      let word: UInt32 = window.littleEndian(at: start)
    else { return }
    let base = field.type.hasPrefix("__rel_loc") ? start + field.size : payload.lowerBound
    let size = field.elementSize(longSize)
    Self.swap(
      &window, at: base + Int(word & 0xffff), size: size, count: Int(word >> 16) / max(size, 1),
      payload)
  }

  /// As many numbers as lie within the event.
  private static func swap(
    _ window: inout [UInt8], at start: Int, size: Int, count: Int, _ payload: Range<Int>
  ) {
    guard size == 2 || size == 4 || size == 8 else { return }
    for index in 0..<max(count, 0) {
      let low = start + index * size
      guard low >= payload.lowerBound, low + size <= payload.upperBound else { return }
      window[low..<low + size].reverse()
    }
  }
}

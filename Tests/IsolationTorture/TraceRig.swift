// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Events that are recorded from everywhere, under filters that change: no record is torn, none comes before an earlier one.
final class TraceRig: Sendable {
  private let tracer: Tracer
  private let tracepoint: Tracepoint
  private let format: TraceEventFormat
  private static let filters = [
    nil, "common_pid != 0", "cpu == 1", "cpu & CPUS{1-2}", "cpu > 0 || common_pid > 1",
  ]
  private static let events: [TraceEventFormat] = [
    .ipiSendCPU, .csdQueueCPU, .contextUserEnter, .contextUserExit, .deferredWorkSet,
    .deferredWorkMerge, .deferredWorkDrain, .gracePeriod, .csdFunctionEntry, .csdFunctionExit,
  ]

  init(_ coordinator: Coordinator) throws(IsolationError) {
    tracer = coordinator.tracer
    format = TraceEventFormat(
      system: "torture", name: "torture", id: 5000,
      declaring: [.number("number", as: UInt64.self), .number("inverse", as: UInt64.self)],
      printFormat: "\"%llu\", REC->number")
    tracepoint = try tracer.declare(format)
  }

  @inline(__always)
  func record(_ turn: inout Turn) {
    let number = turn.random.next()
    let inverse = turn.bug == .tornRecord ? number : ~number
    tracepoint.record((number, inverse))
    turn.count(.traceRecord)
  }

  /// Begins and ends events, and looks at what was recorded.
  func change(_ turn: inout Turn) {
    let event = Self.events[turn.random.below(Self.events.count)]
    switch turn.random.below(8) {
    case 0..<3:
      do throws(TraceFilter.ParseError) {
        try tracer.start(event, filter: filter(for: event, &turn))
      } catch {
        turn.check(false, "a filter of \(event.name) was refused: \(error)")
      }
    case 3, 4: tracer.stop(event)
    case 5: try? tracer.start(format, filter: turn.random.oneIn(2) ? nil : "number & 1")
    case 6: tracer.stop(format)
    default: look(&turn)
    }
    turn.count(.traceChange)
  }

  private func filter(for event: TraceEventFormat, _ turn: inout Turn) -> String? {
    let filter = Self.filters[turn.random.below(Self.filters.count)]
    return event.field(named: "cpu") == nil ? nil : filter
  }

  private func look(_ turn: inout Turn) {
    let snapshot = tracer.snapshot()
    for ring in snapshot.rings {
      var last: UInt64 = 0
      for event in ring.events {
        turn.check(event.timestamp >= last, "a ring has an event before an earlier one")
        last = event.timestamp
        guard event.payload.count >= 2, Self.number(event.payload, at: 0, bytes: 2) == 5000 else {
          continue
        }
        let base = TraceEventFormat.commonSize
        let number = Self.number(event.payload, at: base, bytes: 8)
        let inverse = Self.number(event.payload, at: base + 8, bytes: 8)
        turn.check(number == ~inverse, "a record is torn: \(number) and \(inverse)")
      }
    }
  }

  private static func number(_ bytes: [UInt8], at offset: Int, bytes count: Int) -> UInt64 {
    guard bytes.count >= offset + count else { return 0 }
    return (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
  }
}

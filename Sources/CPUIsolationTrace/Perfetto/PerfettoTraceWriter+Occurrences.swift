// SPDX-License-Identifier: Apache-2.0

/// What lies on the tracks.
extension PerfettoTraceWriter {
  mutating func write(_ occurrences: [TraceOccurrence]) {
    var interrupts: [TraceInterrupt] = []
    for occurrence in occurrences {
      switch occurrence {
      case .sent(let interrupt): interrupts.append(interrupt)
      case .queued(let call):
        mark(
          "call", call.function, on: .cpu(call.origin.cpu), at: call.origin.time,
          flow: (Schema.Event.flow, call.flow), [("from", call.origin.callsite)])
      case .began(let span): begin(span)
      case .ended(let span):
        // What is open when the recording ends stays open.
        if let end = span.end { event(.end, on: track(of: span), at: end) { _, _ in } }
      case .happened(let span): write(span)
      case .deferred(let deferral): begin(deferral)
      case .merged(let deferral, let origin):
        mark(
          "merge", deferral.work, on: .cpu(origin.cpu), at: origin.time, flow: nil,
          [("thread", origin.thread), ("from", origin.callsite)])
      case .drained(let deferral): end(deferral)
      case .counted(let name, let cpu, let time, let value):
        count(.counter(cpu: cpu, name: name), value, at: time)
      case .lost(let cpu, let time, let loss):
        let text =
          if case .events(let number) = loss { "\(number) events are missing" } else {
            "events are missing"
          }
        let name = timeline.names.number(of: text)
        mark(name, on: .cpu(cpu), at: time, flow: nil, [])
      case .other(let record): write(record)
      }
    }
    if !interrupts.isEmpty { write(interrupts) }
  }

  /// The interrupts of one record: a mark on the sender's track, and one on each target's.
  private mutating func write(_ interrupts: [TraceInterrupt]) {
    let first = interrupts[0]
    let origin = first.origin
    let hasArrows = interrupts.count <= Self.mostArrows
    let callback = timeline.names[first.callback]
    let target = interrupts.count == 1 ? "CPU \(first.target)" : "\(interrupts.count) CPUs"
    mark(
      timeline.names.number(of: "IPI to \(target): \(callback)"), on: .cpu(origin.cpu),
      at: origin.time, flow: nil, [("from", origin.callsite), ("thread", origin.thread)]
    ) { event in
      guard hasArrows else { return }
      for interrupt in interrupts { event.fixed(Schema.Event.flow, interrupt.flow) }
    }
    for interrupt in interrupts {
      let callback = timeline.names[interrupt.callback]
      mark(
        timeline.names.number(of: "IPI from CPU \(origin.cpu): \(callback)"),
        on: .cpu(interrupt.target), at: origin.time,
        flow: hasArrows ? (Schema.Event.lastFlow, interrupt.flow) : nil,
        hasArrows ? [] : [("thread", origin.thread)])
    }
  }

  private func track(of span: TraceSpan) -> PerfettoTrack {
    switch span.activity {
    case .thread: .threads(span.cpu)
    // They are told at their end, and no others say what they lie within.
    case .noise, .nmi: .noise(span.cpu)
    default: .cpu(span.cpu)
    }
  }

  private mutating func begin(_ span: TraceSpan) {
    let names = timeline.names
    event(.begin, on: track(of: span), at: span.start) { event, interning in
      event.number(
        Schema.Event.name, interning.number(of: span.name, names, in: Schema.Interned.names))
      event.category(span.activity.category, &interning)
      if span.flow != 0 { event.fixed(Schema.Event.lastFlow, span.flow) }
    }
  }

  /// What is told as a whole.
  private mutating func write(_ span: TraceSpan) {
    guard let duration = span.duration else {
      mark(span.name, on: .cpu(span.cpu), at: span.start, flow: nil, [])
      return
    }
    if span.activity == .noiseSample {
      // A sum over a period, which lies nowhere in particular.
      count(
        .counter(cpu: span.cpu, name: "noise, ns"), duration, at: span.end ?? span.start)
      return
    }
    begin(span)
    event(.end, on: track(of: span), at: span.start + duration) { _, _ in }
  }

  private mutating func begin(_ deferral: TraceDeferral) {
    if let origin = deferral.origin {
      mark(
        "defer", deferral.work, on: .cpu(origin.cpu), at: origin.time,
        flow: (Schema.Event.flow, deferral.flow),
        [("thread", origin.thread), ("from", origin.callsite)])
    }
    let names = timeline.names
    event(
      .begin, on: .work(cpu: deferral.target, name: deferral.work), at: deferral.start
    ) { event, interning in
      event.number(
        Schema.Event.name, interning.number(of: deferral.work, names, in: Schema.Interned.names))
      event.category(TraceActivity.deferral.category, &interning)
      if deferral.origin != nil { event.fixed(Schema.Event.flow, deferral.flow) }
    }
    if deferral.origin != nil {
      count(.pending(deferral.target), UInt64(deferral.pending), at: deferral.start)
    }
  }

  private mutating func end(_ deferral: TraceDeferral) {
    guard let end = deferral.end else { return }
    if deferral.origin == nil { begin(deferral) }
    event(.end, on: .work(cpu: deferral.target, name: deferral.work), at: end) { _, _ in }
    guard deferral.origin != nil else { return }
    mark(
      "drain", deferral.work, on: .cpu(deferral.target), at: end,
      flow: (Schema.Event.lastFlow, deferral.flow), [])
    count(.pending(deferral.target), UInt64(deferral.pending), at: end)
  }

  private mutating func write(_ record: TraceRecord) {
    let arguments = arguments(of: record)
    let thread = timeline.threadText(record.thread)
    let name = timeline.names.number(of: arguments.event)
    scratch.removeAll()
    arguments.append(
      record, to: &scratch, &interning, &timeline.names, recording.symbols)
    let (names, fields) = (timeline.names, scratch.bytes)
    event(.instant, on: .others(record.cpu), at: record.timestamp) { event, interning in
      event.number(Schema.Event.name, interning.number(of: name, names, in: Schema.Interned.names))
      event.argument("thread", thread, names, &interning)
      event.fields(fields)
    }
  }

  // MARK: Marks and counters

  private mutating func mark(
    _ verb: String, _ what: Int32, on track: PerfettoTrack,
    at time: UInt64, flow: (field: UInt64, number: UInt64)?, _ arguments: [(String, Int32?)]
  ) {
    let name = timeline.names.number(of: "\(verb) \(timeline.names[what])")
    mark(name, on: track, at: time, flow: flow, arguments)
  }

  private mutating func mark(
    _ name: Int32, on track: PerfettoTrack, at time: UInt64,
    flow: (field: UInt64, number: UInt64)?, _ arguments: [(String, Int32?)],
    _ body: (inout ProtobufEncoder) -> Void = { _ in }
  ) {
    let names = timeline.names
    event(.instant, on: track, at: time) { event, interning in
      event.number(Schema.Event.name, interning.number(of: name, names, in: Schema.Interned.names))
      for (argument, value) in arguments {
        if let value { event.argument(argument, value, names, &interning) }
      }
      if let flow { event.fixed(flow.field, flow.number) }
      body(&event)
    }
  }

  private mutating func count(_ track: PerfettoTrack, _ value: UInt64, at time: UInt64) {
    event(.counter, on: track, at: time) { event, _ in
      event.number(Schema.Event.counterValue, value)
    }
  }
}

extension ProtobufEncoder {
  fileprivate mutating func category(_ text: String, _ interning: inout PerfettoInterning) {
    typealias Schema = PerfettoSchema
    if let number = interning.number(of: text, in: Schema.Interned.categories) {
      self.number(Schema.Event.categories, number)
    }
  }

  fileprivate mutating func argument(
    _ argument: String, _ value: Int32, _ names: TraceNames, _ interning: inout PerfettoInterning
  ) {
    typealias Schema = PerfettoSchema
    annotation(argument, &interning) { annotation, interning in
      annotation.number(
        Schema.Annotation.internedText,
        interning.number(of: value, names, in: Schema.Interned.texts))
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// Writes JSON for Perfetto and `chrome://tracing`.
///
/// One lane for each CPU; deferrals are asynchronous spans from queue to drain, because they
/// overlap and slices of a lane must nest. Arrows go from the sender's lane to the target's.
///
/// - Source: the Trace Event Format; ui.perfetto.dev reads it.
struct ChromeTraceWriter {
  private let recording: TraceRecording
  private var isFirst = true
  private var arrows = 0
  private var deferrals = 0
  /// CPUs that have a lane for the threads that they ran.
  private var hasThreads: Set<Int> = []

  init(_ recording: TraceRecording) { self.recording = recording }

  /// Arrows end on slices. A mark is a slice too short to reach into its neighbours.
  private static let mark: UInt64 = 1

  mutating func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    try sink.write(Array(#"{"displayTimeUnit":"ns","traceEvents":["#.utf8))
    var timeline = TraceTimeline(recording)
    var report = TraceTextReport(recording)
    var records = recording.records()
    while let record = records.next() {
      timeline.add(record)
      let thread = timeline.threadText(record.thread)
      try write(
        [
          "ph": .text("i"), "s": .text("t"), "cat": .text("event"),
          "name": .text(recording.format(of: record)?.name ?? "event \(record.event)"),
          "args": .object([
            "thread": .text(timeline.names[thread]),
            "text": .text(report.information(of: record)),
          ]),
        ], cpu: record.cpu, time: record.timestamp, to: &sink)
      for occurrence in timeline.occurrences { try write(occurrence, timeline.names, to: &sink) }
    }
    timeline.finish()
    for occurrence in timeline.occurrences { try write(occurrence, timeline.names, to: &sink) }
    try writeLanes(timeline, to: &sink)
    try sink.write(Array("\n]}\n".utf8))
    return records.damage
  }

  private mutating func write(
    _ occurrence: TraceOccurrence, _ names: TraceNames, to sink: inout TraceSink
  ) throws(TraceFileError) {
    switch occurrence {
    case .ended(let span), .happened(let span): try write(span, names, to: &sink)
    case .drained(let deferral): try write(deferral, names, to: &sink)
    case .sent(let interrupt):
      let (origin, target) = (interrupt.origin, interrupt.target)
      // When it arrived is not recorded: the arrow goes straight across.
      for (cpu, name) in [(origin.cpu, "IPI to"), (target, "IPI from")] {
        let other = cpu == origin.cpu ? target : origin.cpu
        try writeSlice(
          "\(name) CPU \(other)", "ipi", cpu, origin.time, Self.mark, to: &sink,
          [
            "sender": .text(names[origin.thread]), "callback": .text(names[interrupt.callback]),
          ])
      }
      try writeArrow("ipi", from: origin, to: (target, origin.time), &sink)
    case .queued, .began, .deferred, .merged, .counted, .lost, .other: break
    }
  }

  private mutating func write(
    _ span: TraceSpan, _ names: TraceNames, to sink: inout TraceSink
  ) throws(TraceFileError) {
    // Of how long somebody was in user nothing is known without the end.
    if span.activity == .user, span.end == nil { return }
    let name = names[span.name]
    if span.activity == .thread { hasThreads.insert(span.cpu) }
    try writeSlice(
      name, span.activity.category, span.cpu, span.start, span.duration ?? Self.mark, to: &sink,
      lane: span.activity == .thread ? recording.cpuCount : 0)
    guard let origin = span.origin else { return }
    try writeSlice(
      "\(span.activity.category) \(name)", span.activity.category, origin.cpu, origin.time,
      Self.mark, to: &sink)
    try writeArrow(span.activity.category, from: origin, to: (span.cpu, span.start), &sink)
  }

  private mutating func writeLanes(
    _ timeline: TraceTimeline, to sink: inout TraceSink
  ) throws(TraceFileError) {
    func metadata(_ name: String, _ argument: String, _ value: Value) -> [String: Value] {
      ["ph": .text("M"), "name": .text(name), "args": .object([argument: value])]
    }
    try write(metadata("process_name", "name", .text("CPUs")), cpu: nil, time: nil, to: &sink)
    for cpu in 0..<recording.cpuCount {
      let thread = timeline.soleThread(of: cpu).map { " (\($0))" } ?? ""
      var lanes = [(lane: cpu, name: "CPU \(cpu)\(thread)")]
      if hasThreads.contains(cpu) {
        lanes.append((cpu + recording.cpuCount, "CPU \(cpu), threads"))
      }
      for (lane, name) in lanes {
        try write(
          metadata("thread_name", "name", .text(name)), cpu: lane, time: nil, to: &sink)
        try write(
          metadata("thread_sort_index", "sort_index", .number(UInt64(cpu))), cpu: lane, time: nil,
          to: &sink)
      }
    }
  }

  private mutating func write(
    _ deferral: TraceDeferral, _ names: TraceNames, to sink: inout TraceSink
  ) throws(TraceFileError) {
    let work = names[deferral.work]
    let number = deferrals
    deferrals += 1
    func end(_ phase: String) -> [String: Value] {
      [
        "ph": .text(phase), "cat": .text("deferral"), "name": .text(work),
        "id": .text("deferral \(number)"),
      ]
    }
    var begin = end("b")
    begin["args"] = .object([
      "target": .number(UInt64(deferral.target)),
      "sender": .text(deferral.origin.map { names[$0.thread] } ?? "not recorded"),
      "merges": .number(UInt64(deferral.merges)),
    ])
    try write(begin, cpu: deferral.target, time: deferral.start, to: &sink)
    guard let time = deferral.end else { return }
    try write(end("e"), cpu: deferral.target, time: time, to: &sink)
    guard let origin = deferral.origin else { return }
    try writeSlice("defer \(work)", "deferral", origin.cpu, deferral.start, Self.mark, to: &sink)
    try writeSlice("drain \(work)", "deferral", deferral.target, time, Self.mark, to: &sink)
    try writeArrow("deferral", from: origin, to: (deferral.target, time), &sink)
  }

  /// `lane` counts lanes beside the one that shows what a CPU does.
  private mutating func writeSlice(
    _ name: String, _ category: String, _ cpu: Int, _ start: UInt64, _ duration: UInt64,
    to sink: inout TraceSink, _ arguments: [String: Value] = [:], lane: Int = 0
  ) throws(TraceFileError) {
    var event: [String: Value] = [
      "ph": .text("X"), "cat": .text(category), "name": .text(name), "dur": .time(duration),
    ]
    if !arguments.isEmpty { event["args"] = .object(arguments) }
    try write(event, cpu: cpu + lane, time: start, to: &sink)
  }

  private mutating func writeArrow(
    _ name: String, from origin: TraceOrigin, to end: (cpu: Int, time: UInt64),
    _ sink: inout TraceSink
  ) throws(TraceFileError) {
    arrows += 1
    var event: [String: Value] = [
      "ph": .text("s"), "cat": .text(name), "name": .text(name), "id": .number(UInt64(arrows)),
    ]
    try write(event, cpu: origin.cpu, time: origin.time, to: &sink)
    event["ph"] = .text("f")
    event["bp"] = .text("e")
    try write(event, cpu: end.cpu, time: end.time, to: &sink)
  }

  // MARK: JSON

  private enum Value {
    case text(String)
    case number(UInt64)
    /// Nanoseconds; the format counts microseconds.
    case time(UInt64)
    case object([String: Value])

    var json: String {
      switch self {
      case .text(let text): text.jsonQuoted
      case .number(let number): String(number)
      case .time(let time):
        "\(time / 1000).\(String(String(time % 1000 + 1000).dropFirst()))"
      case .object(let members):
        "{"
          + members.sorted { $0.key < $1.key }
          .map { "\($0.key.jsonQuoted):\($0.value.json)" }.joined(separator: ",") + "}"
      }
    }
  }

  private mutating func write(
    _ event: [String: Value], cpu: Int?, time: UInt64?, to sink: inout TraceSink
  ) throws(TraceFileError) {
    var event = event
    event["pid"] = .number(1)
    // Thread 0 is the idle thread to some readers.
    if let cpu { event["tid"] = .number(UInt64(cpu) + 1) }
    if let time { event["ts"] = .time(time) }
    try sink.write(Array(((isFirst ? "\n" : ",\n") + Value.object(event).json).utf8))
    isFirst = false
  }
}

extension String {
  /// In quotes, for JSON.
  var jsonQuoted: String {
    var quoted = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case _ where scalar.value < 0x20:
        quoted += "\\u" + String(hex: UInt64(scalar.value), digits: 4)
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}

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
      try write(
        [
          "ph": .text("i"), "s": .text("t"), "cat": .text("event"),
          "name": .text(recording.format(of: record)?.name ?? "event \(record.event)"),
          "args": .object([
            "thread": .text(timeline.threadText(record)),
            "text": .text(report.information(of: record)),
          ]),
        ], cpu: record.cpu, time: record.timestamp, to: &sink)
    }
    try writeLanes(timeline, to: &sink)
    for span in timeline.userSpans {
      guard let end = span.end else { continue }
      try writeSlice("user", "context", span.cpu, span.start, end - span.start, to: &sink)
    }
    for call in timeline.calls {
      try writeSlice(
        call.name, "call", call.cpu, call.start,
        call.end.map { $0 - call.start } ?? Self.mark, to: &sink)
      if let origin = call.origin {
        try writeSlice("call \(call.name)", "call", origin.cpu, origin.time, Self.mark, to: &sink)
        try writeArrow("call", from: origin, to: (call.cpu, call.start), &sink)
      }
    }
    for interrupt in timeline.interrupts {
      // When it arrived is not recorded: the arrow goes straight across.
      for (cpu, name) in [(interrupt.senderCPU, "IPI to"), (interrupt.target, "IPI from")] {
        let other = cpu == interrupt.senderCPU ? interrupt.target : interrupt.senderCPU
        try writeSlice(
          "\(name) CPU \(other)", "ipi", cpu, interrupt.time, Self.mark, to: &sink,
          ["sender": .text(interrupt.sender), "callback": .text(interrupt.callback)])
      }
      try writeArrow(
        "ipi", from: (interrupt.senderCPU, interrupt.time), to: (interrupt.target, interrupt.time),
        &sink)
    }
    for (index, deferral) in timeline.deferrals.enumerated() {
      try write(deferral, index, to: &sink)
    }
    try sink.write(Array("\n]}\n".utf8))
    return records.damage
  }

  private mutating func writeLanes(
    _ timeline: TraceTimeline, to sink: inout TraceSink
  ) throws(TraceFileError) {
    func metadata(_ name: String, _ argument: String, _ value: Value) -> [String: Value] {
      ["ph": .text("M"), "name": .text(name), "args": .object([argument: value])]
    }
    try write(metadata("process_name", "name", .text("CPUs")), cpu: nil, time: nil, to: &sink)
    for cpu in 0..<recording.cpuCount {
      let threads = timeline.threads[cpu] ?? []
      let name = threads.count == 1 ? "CPU \(cpu) (\(threads.first ?? ""))" : "CPU \(cpu)"
      try write(metadata("thread_name", "name", .text(name)), cpu: cpu, time: nil, to: &sink)
      try write(
        metadata("thread_sort_index", "sort_index", .number(UInt64(cpu))), cpu: cpu, time: nil,
        to: &sink)
    }
  }

  private mutating func write(
    _ deferral: TraceTimeline.Deferral, _ index: Int, to sink: inout TraceSink
  ) throws(TraceFileError) {
    func end(_ phase: String) -> [String: Value] {
      [
        "ph": .text(phase), "cat": .text("deferral"), "name": .text(deferral.work),
        "id": .text("deferral \(index)"),
      ]
    }
    var begin = end("b")
    begin["args"] = .object([
      "target": .number(UInt64(deferral.target)),
      "sender": .text(deferral.sender?.thread ?? "not recorded"),
      "merges": .number(UInt64(deferral.merges)),
    ])
    try write(begin, cpu: deferral.target, time: deferral.start, to: &sink)
    guard let time = deferral.end else { return }
    try write(end("e"), cpu: deferral.target, time: time, to: &sink)
    guard let sender = deferral.sender else { return }
    try writeSlice(
      "defer \(deferral.work)", "deferral", sender.cpu, deferral.start, Self.mark, to: &sink)
    try writeSlice(
      "drain \(deferral.work)", "deferral", deferral.target, time, Self.mark, to: &sink)
    try writeArrow(
      "deferral", from: (sender.cpu, deferral.start), to: (deferral.target, time), &sink)
  }

  private mutating func writeSlice(
    _ name: String, _ category: String, _ cpu: Int, _ start: UInt64, _ duration: UInt64,
    to sink: inout TraceSink, _ arguments: [String: Value] = [:]
  ) throws(TraceFileError) {
    var event: [String: Value] = [
      "ph": .text("X"), "cat": .text(category), "name": .text(name), "dur": .time(duration),
    ]
    if !arguments.isEmpty { event["args"] = .object(arguments) }
    try write(event, cpu: cpu, time: start, to: &sink)
  }

  private mutating func writeArrow(
    _ name: String, from start: (cpu: Int, time: UInt64), to end: (cpu: Int, time: UInt64),
    _ sink: inout TraceSink
  ) throws(TraceFileError) {
    arrows += 1
    var event: [String: Value] = [
      "ph": .text("s"), "cat": .text(name), "name": .text(name), "id": .number(UInt64(arrows)),
    ]
    try write(event, cpu: start.cpu, time: start.time, to: &sink)
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

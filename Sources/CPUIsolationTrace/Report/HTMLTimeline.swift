// SPDX-License-Identifier: Apache-2.0

/// The drawing of a timeline: a lane for each CPU, as SVG.
struct HTMLTimeline {
  private let timeline: TraceTimeline
  private let cpus: [Int]
  private let hiddenCPUs: Int
  private let first: UInt64
  private let length: UInt64
  private let countsNanoseconds: Bool

  private static let left = 150.0
  private static let width = 1200.0
  private static let right = 20.0
  private static let top = 34.0
  private static let laneHeight = 58.0
  private static let maximumLanes = 64

  init(_ recording: TraceRecording, _ timeline: TraceTimeline) {
    self.timeline = timeline
    let busy = Set(
      timeline.interrupts.flatMap { [$0.senderCPU, $0.target] } + timeline.deferrals.map(\.target)
        + timeline.deferrals.compactMap(\.sender?.cpu) + timeline.userSpans.map(\.cpu)
        + timeline.calls.map(\.cpu) + timeline.threads.keys)
    let all = busy.sorted()
    cpus = Array(all.prefix(Self.maximumLanes))
    hiddenCPUs = all.count - cpus.count
    first = timeline.range?.lowerBound ?? 0
    length = max(1, (timeline.range?.upperBound ?? 0) - first)
    countsNanoseconds = recording.buffers[0].countsNanoseconds
  }

  private func x(_ time: UInt64) -> Double {
    let share = Double(time - min(first, time)) / Double(length)
    return Self.left + min(share, 1) * (Self.width - Self.left - Self.right)
  }

  private func lane(_ cpu: Int) -> Double? {
    cpus.firstIndex(of: cpu).map { Self.top + Double($0) * Self.laneHeight }
  }

  private func text(_ time: UInt64) -> String {
    countsNanoseconds ? time.durationText : "\(time) ticks"
  }

  var html: String {
    guard !cpus.isEmpty else { return "<p>The recording is empty.</p>\n" }
    let height = Self.top + Double(cpus.count) * Self.laneHeight + 6
    var drawing = Drawing()
    drawAxis(height, &drawing)
    for cpu in cpus { drawLane(cpu, &drawing) }
    for span in timeline.userSpans { draw(span, "user", 12, 20, &drawing) }
    drawDeferrals(&drawing)
    for call in timeline.calls { draw(call, "call", 12, 20, &drawing) }
    for (cpu, time, _) in timeline.losses {
      guard let y = lane(cpu) else { continue }
      drawing.rectangle("lost", x(time) - 1, y + 6, 2, 42, key: (cpu, -1), "events are missing")
    }
    drawInterrupts(&drawing)
    let notes =
      hiddenCPUs == 0 ? "" : "<p class=\"note\">\(hiddenCPUs) more CPUs are not drawn.</p>\n"
    return """
      <ul class="legend"><li><i class="user"></i>in user</li>\
      <li><i class="deferral"></i>deferred work, waiting</li>\
      <li><i class="call"></i>called function, running</li>\
      <li><i class="ipi"></i>interrupt, from sender to target</li>\
      <li><i class="lost"></i>events are missing</li></ul>
      <svg width="\(Int(Self.width))" height="\(Int(height))" role="img" \
      aria-label="timeline of \(cpus.count) CPUs">
      \(drawing.svg)</svg>
      \(notes)
      """
  }

  private func drawAxis(_ height: Double, _ drawing: inout Drawing) {
    // A step of 1, 2 or 5 and zeros that gives about eight lines.
    var step: UInt64 = 1
    var factors = [2, 5, 10].makeIterator()
    var base: UInt64 = 1
    while length / step > 10, step < UInt64.max / 20 {
      let factor = UInt64(factors.next() ?? 10)
      step = base * factor
      if factor == 10 {
        base = step
        factors = [2, 5, 10].makeIterator()
      }
    }
    for index in 0...10 as ClosedRange<UInt64> {
      let (time, isBeyond) = step.multipliedReportingOverflow(by: index)
      guard !isBeyond, time <= length else { break }
      let x = x(first + time)
      drawing.line("grid", (x, Self.top - 8), (x, height))
      drawing.text("tick", x, Self.top - 14, Self.roundText(text(time)), anchor: "middle")
    }
  }

  /// Without zeros behind the point: what stands at the axis is a round number.
  private static func roundText(_ text: String) -> String {
    let parts = text.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].contains(".") else { return text }
    var number = parts[0]
    while number.last == "0" { number.removeLast() }
    if number.last == "." { number.removeLast() }
    return "\(number) \(parts[1])"
  }

  private func drawLane(_ cpu: Int, _ drawing: inout Drawing) {
    guard let y = lane(cpu) else { return }
    drawing.line("lane", (Self.left, y + 32), (Self.width - Self.right, y + 32))
    drawing.text("cpu", 0, y + 27, "CPU \(cpu)", anchor: "start")
    if let threads = timeline.threads[cpu], threads.count == 1, let name = threads.first {
      drawing.text("tick", 0, y + 43, String(name.prefix(20)), anchor: "start")
    }
  }

  private func draw(
    _ span: TraceTimeline.Span, _ style: String, _ offset: Double, _ height: Double,
    _ drawing: inout Drawing
  ) {
    guard let y = lane(span.cpu) else { return }
    let end = span.end ?? first + length
    drawing.rectangle(
      style, x(span.start), y + offset, x(end) - x(span.start), height, key: (span.cpu, -1),
      "\(span.name): \(text(end - span.start)) from \(text(span.start - first))")
  }

  /// Below the lane's line, each work in a row of its own as far as there are rows.
  private func drawDeferrals(_ drawing: inout Drawing) {
    var rows: [String: Int] = [:]
    for deferral in timeline.deferrals {
      let row = rows[deferral.work] ?? rows.count
      rows[deferral.work] = row
      guard let y = lane(deferral.target) else { continue }
      let end = deferral.end ?? first + length
      let fate = deferral.end == nil ? "still pending" : "waited \(text(end - deferral.start))"
      let merges = deferral.merges == 0 ? "" : ", sent \(deferral.merges + 1) times"
      let sender = deferral.sender?.thread ?? "a sender that was not recorded"
      drawing.rectangle(
        "deferral", x(deferral.start), y + 35 + Double(row % 3) * 6, x(end) - x(deferral.start), 5,
        key: (deferral.target, row % 3), "\(deferral.work) from \(sender): \(fate)\(merges)")
    }
  }

  private func drawInterrupts(_ drawing: inout Drawing) {
    for interrupt in timeline.interrupts {
      guard let from = lane(interrupt.senderCPU), let to = lane(interrupt.target) else { continue }
      let goesDown = to >= from
      let end = goesDown ? to + 12 : to + 32
      drawing.arrow(
        "ipi", x(interrupt.time), from + (goesDown ? 32 : 12), end,
        key: (interrupt.senderCPU, interrupt.target),
        "\(interrupt.callback) from \(interrupt.sender) to CPU \(interrupt.target) at "
          + text(interrupt.time - first))
    }
  }

  /// SVG, without what would hide exactly behind something else.
  private struct Drawing {
    private(set) var svg = ""

    private struct Place: Hashable {
      var style: String
      var column: Int
      var a: Int
      var b: Int
    }
    private var taken: Set<Place> = []

    /// Half a pixel is what the eye can tell.
    private mutating func take(_ style: String, _ x: Double, _ key: (Int, Int)) -> Bool {
      taken.insert(Place(style: style, column: Int(x * 2), a: key.0, b: key.1)).inserted
    }

    private func short(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    mutating func rectangle(
      _ style: String, _ x: Double, _ y: Double, _ width: Double, _ height: Double,
      key: (Int, Int), _ title: String
    ) {
      guard width >= 2 || take(style, x, key) else { return }
      svg += """
        <rect class="\(style)" x="\(short(x))" y="\(short(y))" width="\(short(max(width, 1)))" \
        height="\(short(height))"><title>\(title.htmlEscaped)</title></rect>

        """
    }

    mutating func arrow(
      _ style: String, _ x: Double, _ start: Double, _ end: Double, key: (Int, Int),
      _ title: String
    ) {
      guard take(style, x, key) else { return }
      let back = end >= start ? -6.0 : 6.0
      let (middle, tip) = (short(x), short(end))
      svg += """
        <path class="\(style)" d="M\(middle) \(short(start))V\(tip)l-3 \(short(back))h6l-3 \
        \(short(-back))"><title>\(title.htmlEscaped)</title></path>

        """
    }

    mutating func line(_ style: String, _ a: (Double, Double), _ b: (Double, Double)) {
      svg += """
        <line class="\(style)" x1="\(short(a.0))" y1="\(short(a.1))" x2="\(short(b.0))" \
        y2="\(short(b.1))"/>

        """
    }

    mutating func text(
      _ style: String, _ x: Double, _ y: Double, _ text: String, anchor: String
    ) {
      svg += """
        <text class="\(style)" x="\(short(x))" y="\(short(y))" text-anchor="\(anchor)">\
        \(text.htmlEscaped)</text>

        """
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// Writes one HTML page: a timeline of each CPU, who interrupted whom, and what was deferred. It
/// loads nothing.
struct HTMLReportWriter {
  private let recording: TraceRecording

  init(_ recording: TraceRecording) { self.recording = recording }

  func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    var timeline = TraceTimeline(recording)
    var records = recording.records()
    while let record = records.next() { timeline.add(record) }
    let title = "Trace of \(recording.cpuCount) CPUs"
    var page = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(title)</title>
      <style>
      \(Self.style)</style>
      </head>
      <body>
      <header><h1>\(title)</h1>
      \(facts(timeline, damage: records.damage))</header>

      """
    page += section("Timeline", HTMLTimeline(recording, timeline).html)
    page += section("Interference", interferenceTable(timeline))
    page += section("Deferred work", deferralTable(timeline))
    page += "</body>\n</html>\n"
    try sink.write(Array(page.utf8))
    return records.damage
  }

  private func section(_ title: String, _ content: String) -> String {
    "<section>\n<h2>\(title)</h2>\n\(content)</section>\n"
  }

  private func facts(_ timeline: TraceTimeline, damage: [TraceFileError]) -> String {
    let drained = timeline.deferrals.count { $0.end != nil }
    var facts = [
      ("events", String(timeline.eventCount)),
      ("interrupts", String(timeline.interrupts.count)),
      ("deferrals", String(timeline.deferrals.count)),
      ("drained", String(drained)),
    ]
    if let range = timeline.range {
      let unit = recording.buffers[0].countsNanoseconds
      let length = range.upperBound - range.lowerBound
      facts.insert(("recorded", unit ? length.durationText : "\(length) ticks"), at: 0)
    }
    var html = "<dl class=\"facts\">"
    for (name, value) in facts { html += "<div><dt>\(name)</dt><dd>\(value)</dd></div>" }
    html += "</dl>\n"
    for (cpu, time, loss) in timeline.losses {
      let count = if case .events(let number) = loss { "\(number) events" } else { "Events" }
      let offset = time - (timeline.range?.lowerBound ?? time)
      let place = offset == 0 ? "the beginning" : offset.durationText
      html += "<p class=\"warning\">\(count) of CPU \(cpu) are missing before \(place).</p>\n"
    }
    for error in damage {
      html += "<p class=\"warning\">Not all could be read: \(error.description.htmlEscaped)</p>\n"
    }
    return html
  }

  private func interferenceTable(_ timeline: TraceTimeline) -> String {
    let rows = timeline.interferences
    guard !rows.isEmpty else { return "<p>No interrupt was recorded.</p>\n" }
    var html = """
      <table id="interference">
      <thead><tr><th class="number">count</th><th>sender</th><th>target</th>\
      <th>callback</th></tr></thead>
      <tbody>

      """
    for row in rows {
      let sender = row.sender.htmlEscaped
      let callback = row.callback.htmlEscaped
      html += """
        <tr data-sender="\(sender)" data-target="\(row.target)" data-callback="\(callback)" \
        data-count="\(row.count)"><td class="number">\(row.count)</td><td>\(sender)</td>\
        <td>CPU \(row.target)</td><td><code>\(callback)</code></td></tr>

        """
    }
    return html + "</tbody>\n</table>\n"
  }

  private struct Waits {
    var sent = 0
    var merges = 0
    var waits: [UInt64] = []
  }

  private func deferralTable(_ timeline: TraceTimeline) -> String {
    guard !timeline.deferrals.isEmpty else { return "<p>No deferred work was recorded.</p>\n" }
    var byWork: [String: [Int: Waits]] = [:]
    for deferral in timeline.deferrals {
      var entry = byWork[deferral.work, default: [:]][deferral.target] ?? Waits()
      entry.sent += 1
      entry.merges += deferral.merges
      if let end = deferral.end { entry.waits.append(end - deferral.start) }
      byWork[deferral.work, default: [:]][deferral.target] = entry
    }
    var html = """
      <table id="deferrals">
      <thead><tr><th>work</th><th>target</th><th class="number">deferred</th>\
      <th class="number">merged</th><th class="number">drained</th>\
      <th class="number">median wait</th><th class="number">longest</th></tr></thead>
      <tbody>

      """
    for (work, targets) in byWork.sorted(by: { $0.key < $1.key }) {
      for (target, entry) in targets.sorted(by: { $0.key < $1.key }) {
        let waits = entry.waits.sorted()
        let name = work.htmlEscaped
        html += """
          <tr data-work="\(name)" data-cpu="\(target)"><td><code>\(name)</code></td>\
          <td>CPU \(target)</td><td class="number">\(entry.sent)</td>\
          <td class="number">\(entry.merges)</td><td class="number">\(waits.count)</td>\
          <td class="number">\(waits.isEmpty ? "" : waits[waits.count / 2].durationText)</td>\
          <td class="number">\(waits.last?.durationText ?? "")</td></tr>

          """
      }
    }
    return html + "</tbody>\n</table>\n"
  }

  private static let style = """
    :root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b2330;
      --faint: #667085; --line: #d9dee6; --user: #8ecfc4; --call: #3b6fd4; --deferral: #e0a02b;
      --ipi: #c8322b; --lost: #8a3ffc; --warning: #9a5b00; }
    @media (prefers-color-scheme: dark) { :root { --page: #12161d; --card: #1b212b;
      --ink: #e6eaf1; --faint: #97a3b6; --line: #333c4a; --user: #2c6b62; --call: #7aa5f5;
      --deferral: #e5b04d; --ipi: #ff7068; --lost: #be95ff; --warning: #f0b860; } }
    * { box-sizing: border-box; }
    body { margin: 0 auto; padding: 24px; max-width: 1300px; background: var(--page);
      color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
    h1 { font-size: 24px; margin: 0 0 12px; }
    h2 { font-size: 17px; margin: 0 0 12px; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
      padding: 18px 20px; margin-top: 20px; overflow-x: auto; }
    code { font: 13px ui-monospace, monospace; }
    .facts { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0; }
    .facts dt { color: var(--faint); font-size: 13px; }
    .facts dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; }
    .warning { color: var(--warning); margin: 10px 0 0; }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 22px; color: var(--faint); font-size: 13px;
      margin: 0 0 10px; padding: 0; list-style: none; }
    .legend i { display: inline-block; width: 14px; height: 10px; border-radius: 2px;
      margin-right: 6px; }
    .note { color: var(--faint); font-size: 13px; margin: 8px 0 0; }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th { text-align: left; color: var(--faint); font-size: 13px; font-weight: 600; }
    th, td { padding: 5px 16px 5px 0; border-bottom: 1px solid var(--line); }
    tbody tr:last-child td { border-bottom: 0; }
    .number { text-align: right; }
    .number:first-child { width: 5em; }
    svg { display: block; }
    svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
    svg .tick { fill: var(--faint); font-size: 12px; }
    svg .grid { stroke: var(--line); }
    svg .lane { stroke: var(--faint); }
    .user { fill: var(--user); background: var(--user); }
    .call { fill: var(--call); background: var(--call); }
    .deferral { fill: var(--deferral); background: var(--deferral); }
    .ipi { stroke: var(--ipi); fill: var(--ipi); background: var(--ipi); }
    .lost { fill: var(--lost); background: var(--lost); }

    """
}

extension String {
  /// For text and for attributes in double quotes.
  var htmlEscaped: String {
    var result = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case _ where scalar.value < 0x20: result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension UInt64 {
  /// Nanoseconds in the unit that reads best, with three digits.
  var durationText: String {
    let units: [(UInt64, String)] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")]
    guard let (unit, name) = units.first(where: { self >= $0.0 }) else { return "\(self) ns" }
    let whole = self / unit
    let digits = whole >= 100 ? 0 : whole >= 10 ? 1 : 2
    guard digits > 0 else { return "\(whole) \(name)" }
    let fraction = String(String(self % unit + unit).dropFirst().prefix(digits))
    return "\(whole).\(fraction) \(name)"
  }
}

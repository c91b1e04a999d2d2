// SPDX-License-Identifier: Apache-2.0

/// What a page says of a recording before all else.
struct PageFacts {
  private let part: PagePart

  init(_ part: PagePart) { self.part = part }

  private func duration(_ time: UInt64) -> String {
    part.countsNanoseconds ? time.durationText : "\(time.grouped) ticks"
  }

  private func total(_ activity: TraceActivity, onIsolated: Bool) -> PageTotal {
    part.ledger.reduce(into: PageTotal()) { sum, entry in
      let isWanted = !onIsolated || part.isolated.contains(entry.key.cpu)
      if entry.key.activity == activity, isWanted { sum += entry.value }
    }
  }

  var html: String {
    var facts: [(String, String)] = []
    func add(_ name: String, _ value: String?) { if let value { facts.append((name, value)) } }
    add("recorded", part.timeline.range == nil ? nil : duration(part.length))
    add("events", part.timeline.eventCount.grouped)
    add("isolated CPUs", part.isolated.isEmpty ? nil : part.isolated.cpuList)
    let ipis = total(.ipi, onIsolated: false).count
    add("IPIs", ipis == 0 ? nil : ipis.grouped)
    let waits = part.waits.values
    if !waits.isEmpty {
      add("deferrals", waits.reduce(0) { $0 + $1.deferred }.grouped)
      add("merged", waits.reduce(0) { $0 + $1.merges }.grouped)
      add("drained", waits.reduce(0) { $0 + $1.drained }.grouped)
      add("longest wait", waits.map(\.longest).max().map { duration($0) })
    }
    var html = part.title.isEmpty ? "" : "<h2 class=\"part\">\(part.title.htmlEscaped)</h2>\n"
    html += "<dl class=\"facts\">"
    for (name, value) in facts { html += "<div><dt>\(name)</dt><dd>\(value)</dd></div>" }
    html += "</dl>\n"
    for (cpu, time, loss) in part.losses {
      let count =
        if case .events(let number) = loss { "\(number.grouped) events" } else { "Events" }
      let offset = time - min(part.first, time)
      let place = offset == 0 ? "the beginning" : duration(offset)
      html += "<p class=\"warning\">\(count) of CPU \(cpu) are missing before \(place).</p>\n"
    }
    if part.lossCount > part.losses.count {
      let more = (part.lossCount - part.losses.count).grouped
      html += "<p class=\"warning\">Events are missing in \(more) more places.</p>\n"
    }
    for error in part.damage {
      html += "<p class=\"warning\">Not all could be read: \(error.description.htmlEscaped)</p>\n"
    }
    return html
  }

  /// What disturbed isolated CPUs in each of several parts, side by side.
  static func comparison(_ parts: [PagePart]) -> String {
    guard parts.count > 1 else { return "" }
    let rows = TraceActivity.allCases.compactMap { activity -> (String, [Int])? in
      let counts = parts.map { PageFacts($0).total(activity, onIsolated: true).count }
      return counts.contains { $0 > 0 } ? (activity.title, counts) : nil
    }
    let waits = parts.map { $0.waits.values.reduce(0) { $0 + $1.deferred } }
    let all = rows + (waits.contains { $0 > 0 } ? [("deferrals", waits)] : [])
    guard !all.isEmpty else { return "" }
    let most = max(1, all.flatMap(\.1).max() ?? 1)
    var html = "<section>\n<h2>Isolated CPUs</h2>\n<table class=\"comparison\">\n"
    html += "<thead><tr><th></th>"
    for part in parts { html += "<th>\(part.title.htmlEscaped)</th>" }
    html += "</tr></thead>\n<tbody>\n"
    for (title, counts) in all {
      html += "<tr><th>\(title)</th>"
      for count in counts {
        html += "<td style=\"--share:\(100 * count / most)%\"><i></i>\(count.grouped)</td>"
      }
      html += "</tr>\n"
    }
    return html + "</tbody>\n</table>\n</section>\n"
  }
}

/// What is the same on every page.
enum PageShell {
  static let timeline = """
    <section id="timeline" hidden>
    <div class="tools"><ul class="legend"></ul>
    <span class="buttons"><output id="window"></output><button type="button" id="out" \
    title="zoom out (−)">−</button><button type="button" id="in" title="zoom in (+)">+</button>\
    <button type="button" id="all" title="everything (0)">all</button></span></div>
    <div class="parts"></div>
    <p class="note">Wheel, pinch, + and − zoom; a drag chooses a window; Shift with a drag, the \
    strip above and the arrow keys move it. The tables follow.</p>
    <div id="tip" hidden></div>
    </section>
    <noscript><p class="warning">The timeline needs JavaScript. The tables do not.</p></noscript>

    """

  /// The activities, by their numbers.
  static let kinds: String = {
    let kinds = TraceActivity.allCases.map {
      """
      {"key":"\($0.category)","title":"\($0.title)","duration":\($0.hasDuration),\
      "disturbance":\($0.isDisturbance)}
      """
    }
    return "[\(kinds.joined(separator: ","))]"
  }()
}

// SPDX-License-Identifier: Apache-2.0

/// The tables of one part, as they stand on the page before anybody touches it.
struct PageTables {
  let part: PagePart
  let index: Int

  /// Rows of a table, as far as there is room for them: the largest come first.
  private static let mostBytes = 300_000
  private static let mostRows = 2_000
  private static let mostCPUs = 256

  var html: String {
    section("Disturbances", "by CPU", ledger) + section("Senders", "of interrupts", senders)
      + section("Sources", "of everything else", sources)
      + section("Deferred work", "from a send to the CPU’s entry", deferrals)
  }

  private func section(_ title: String, _ note: String, _ content: String) -> String {
    content.isEmpty
      ? ""
      : """
      <section>
      <h2>\(title) <small>\(note)</small><small class="window"></small></h2>
      \(content)</section>

      """
  }

  private func duration(_ time: UInt64) -> String {
    part.countsNanoseconds ? time.durationText : "\(time.grouped) ticks"
  }

  /// A cell whose number the script replaces with that of a window.
  private func cell(_ field: String, _ value: UInt64, isTime: Bool = false) -> String {
    let text = value == 0 && isTime ? "" : isTime ? duration(value) : value.grouped
    return "<td class=\"number\" data-field=\"\(field)\" data-value=\"\(value)\">\(text)</td>"
  }

  private func heads(_ heads: [(text: String, isNumber: Bool)]) -> String {
    "<thead><tr>"
      + heads.map { "<th\($0.isNumber ? " class=\"number\"" : "")>\($0.text)</th>" }.joined()
      + "</tr></thead>\n"
  }

  /// Rows up to the limits, and a sentence on the rest.
  private func body(_ rows: some Sequence<(html: String, count: Int)>) -> String {
    var html = "<tbody>\n"
    var (shown, rest, restCount) = (0, 0, 0)
    for row in rows {
      if shown < Self.mostRows, html.utf8.count + row.html.utf8.count <= Self.mostBytes {
        html += row.html
        shown += 1
      } else {
        rest += 1
        restCount += row.count
      }
    }
    html += "</tbody>\n"
    if rest > 0 {
      html += """
        <tfoot><tr><td colspan="9">and \(rest.grouped) more, with \(restCount.grouped) together\
        </td></tr></tfoot>

        """
    }
    return html
  }

  // MARK: CPUs

  private var ledger: String {
    let activities = TraceActivity.allCases.filter { activity in
      part.ledger.contains { $0.key.activity == activity && $0.value.count > 0 }
    }
    guard !activities.isEmpty else { return "" }
    let cpus = Set(part.ledger.keys.map(\.cpu)).sorted()
    let isolated = mostDisturbed(cpus.filter { part.isolated.contains($0) })
    let others = mostDisturbed(cpus.filter { !part.isolated.contains($0) })
    var most: [TraceActivity: Int] = [:]
    for (key, total) in part.ledger {
      most[key.activity] = max(most[key.activity] ?? 0, total.count)
    }
    var html = "<table class=\"ledger\" data-part=\"\(index)\">\n"
    html += heads([("CPU", false)] + activities.map { ($0.title, true) })
    html += "<tbody>\n"
    for cpu in isolated { html += row(cpu, activities, most) }
    html += "</tbody>\n"
    if !others.isEmpty {
      let folds = !isolated.isEmpty && others.count > 4
      if folds {
        html += """
          <tbody class="fold"><tr><th colspan="\(activities.count + 1)"><button type="button">\
          \(others.count) other CPUs: \(others.cpuList)</button></th></tr></tbody>

          """
      }
      html += "<tbody\(folds ? " class=\"folded\"" : "")>\n"
      for cpu in others { html += row(cpu, activities, most) }
      html += "</tbody>\n"
    }
    return html + "</table>\n"
  }

  /// Machines can have thousands of CPUs, and a page has room for some hundreds.
  private func mostDisturbed(_ cpus: [Int]) -> [Int] {
    guard cpus.count > Self.mostCPUs else { return cpus }
    let counts = part.ledger.reduce(into: [Int: Int]()) { counts, entry in
      counts[entry.key.cpu, default: 0] += entry.value.count
    }
    return cpus.sorted { counts[$0] ?? 0 > counts[$1] ?? 0 }.prefix(Self.mostCPUs).sorted()
  }

  private func row(
    _ cpu: Int, _ activities: [TraceActivity], _ most: [TraceActivity: Int]
  ) -> String {
    let name = part.timeline.soleThread(of: cpu).map { " <small>\($0.htmlEscaped)</small>" } ?? ""
    var html = "<tr data-cpu=\"\(cpu)\"><th>CPU \(cpu)\(name)</th>"
    for activity in activities {
      let total = part.ledger[PagePart.SeriesKey(cpu: cpu, activity: activity)] ?? PageTotal()
      let most = most[activity] ?? 1
      // The logarithm, without a mathematical library: bits before the point are enough for a shade.
      let bits = { (count: Int) in Int.bitWidth - count.leadingZeroBitCount }
      let heat = total.count == 0 ? 0 : 100 * bits(total.count) / max(1, bits(most))
      let at = total.longestStart - min(total.longestStart, part.first)
      html += "<td class=\"number\" data-kind=\"\(activity.rawValue)\""
      html += " data-count=\"\(total.count)\" data-total=\"\(total.time)\""
      html += " data-longest=\"\(total.longest)\" data-at=\"\(at)\""
      html += " style=\"--heat:\(heat)%\">"
      if total.count > 0 {
        html += "<b>\(total.count.grouped)</b>"
        if total.time > 0 {
          html += "<small>\(duration(total.time)) · <a>\(duration(total.longest))</a></small>"
        }
      }
      html += "</td>"
    }
    return html + "</tr>\n"
  }

  // MARK: Senders and sources

  private var senders: String {
    guard !part.sends.isEmpty else { return "" }
    let names = part.timeline.names
    let rows = part.sends.map { key, sends in
      (
        sender: names[key.sender], callback: names[key.callback], count: sends.count,
        targets: sends.targets.sorted { $0.key < $1.key },
        callsites: sends.callsites.map { names[$0] }.sorted()
      )
    }.sorted { a, b in
      a.count != b.count ? a.count > b.count : (a.callback, a.sender) < (b.callback, b.sender)
    }
    return "<table class=\"senders\" data-part=\"\(index)\">\n"
      + heads([
        ("count", true), ("sender", false), ("callback", false), ("call site", false),
        ("targets", false),
      ])
      + body(
        rows.lazy.map { row in
          let (sender, callback) = (row.sender.htmlEscaped, row.callback.htmlEscaped)
          let targets = row.targets.map { "\($0.key):\($0.value)" }.joined(separator: " ")
          let html = """
            <tr data-sender="\(sender)" data-callback="\(callback)" data-count="\(row.count)" \
            data-targets="\(targets)">\(cell("count", UInt64(row.count)))<td>\(sender)</td>\
            <td><code>\(callback)</code></td>\
            <td><code>\(row.callsites.joined(separator: " ").htmlEscaped)</code></td>\
            <td>\(row.targets.map(\.key).cpuList)</td></tr>

            """
          return (html, row.count)
        }) + "</table>\n"
  }

  private var sources: String {
    guard !part.sources.isEmpty else { return "" }
    let names = part.timeline.names
    let rows = part.sources.sorted { a, b in
      a.value.total.time != b.value.total.time
        ? a.value.total.time > b.value.total.time
        : a.value.total.count != b.value.total.count
          ? a.value.total.count > b.value.total.count : names[a.key.name] < names[b.key.name]
    }
    return "<table class=\"sources\" data-part=\"\(index)\">\n"
      + heads([
        ("kind", false), ("what", false), ("count", true), ("time", true), ("longest", true),
        ("CPUs", false),
      ])
      + body(
        rows.lazy.map { key, source in
          let name = names[key.name].htmlEscaped
          let html = """
            <tr data-kind="\(key.activity.rawValue)" data-name="\(name)">\
            <td>\(key.activity.title)</td><td><code>\(name)</code></td>\
            \(cell("count", UInt64(source.total.count)))\
            \(cell("total", source.total.time, isTime: true))\
            \(cell("longest", source.total.longest, isTime: true))\
            <td>\(source.cpus.cpuList)</td></tr>

            """
          return (html, source.total.count)
        }) + "</table>\n"
  }

  private var deferrals: String {
    guard !part.waits.isEmpty else { return "" }
    let names = part.timeline.names
    let rows = part.waits.sorted { a, b in
      (names[a.key.work], a.key.target) < (names[b.key.work], b.key.target)
    }
    return "<table class=\"deferrals\" data-part=\"\(index)\">\n"
      + heads([
        ("work", false), ("CPU", true), ("deferred", true), ("merged", true), ("drained", true),
        ("median wait", true), ("longest", true),
      ])
      + body(
        rows.lazy.map { key, waits in
          let name = names[key.work].htmlEscaped
          let html = """
            <tr data-work="\(name)" data-cpu="\(key.target)"><td><code>\(name)</code></td>\
            <td class="number">\(key.target)</td>\(cell("deferred", UInt64(waits.deferred)))\
            \(cell("merged", UInt64(waits.merges)))\(cell("drained", UInt64(waits.drained)))\
            \(cell("median", waits.median ?? 0, isTime: true))\
            \(cell("longest", waits.longest, isTime: true))</tr>

            """
          return (html, waits.deferred)
        }) + "</table>\n"
  }
}

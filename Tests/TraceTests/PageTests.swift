// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Testing

@testable import CPUIsolationTrace
@testable import TraceLoad

/// The page with the timeline and the tables.
@Suite struct PageTests {
  private func page(_ recording: TraceRecording) throws -> PageReading {
    try PageReading(try recording.encoded(as: .html).bytes)
  }

  /// One row for each sender and callback, with the number of interrupts for each target.
  @Test(arguments: [TestRecording.interplay(), TestRecording.manifold()])
  func oneRowForEachSender(_ recording: TraceRecording) throws {
    let html = try page(recording).html
    let pattern =
      /<tr data-sender="([^"]*)" data-callback="([^"]*)" data-count="(\d+)" data-targets="([^"]*)">/
    let rows = html.matches(of: pattern).map { $0.output }
    let expected = Dictionary(grouping: recording.interferences()) {
      "\($0.sender.htmlEscaped) \($0.callback.htmlEscaped)"
    }
    #expect(!expected.isEmpty)
    #expect(html.matches(of: /data-sender/).count == expected.count)
    #expect(Set(rows.map { "\($0.1) \($0.2)" }) == Set(expected.keys))
    for row in rows {
      let known = try #require(expected["\(row.1) \(row.2)"])
      #expect(Int(row.3) == known.reduce(0) { $0 + $1.count })
      let targets = known.sorted { $0.target < $1.target }.map { "\($0.target):\($0.count)" }
      #expect(String(row.4) == targets.joined(separator: " "))
    }
    #expect(rows.map { Int($0.3) ?? 0 } == rows.map { Int($0.3) ?? 0 }.sorted(by: >))
  }

  /// Nothing is loaded: no address, no style sheet, no picture, no script but the page's own.
  @Test func needsNoNetwork() throws {
    let html = try page(TestRecording.interplay()).html
    for word in [
      "http:", "https:", "src=", "href=", "<link", "url(", "@import", "fetch(", "import(",
      "XMLHttpRequest", "WebSocket", "<img", "<iframe",
    ] {
      #expect(!html.contains(word), "\(word)")
    }
  }

  /// The marks are what the recording has, with who, where from and how long.
  @Test func marks() throws {
    let page = try page(TestRecording.interplay())
    #expect(page.count(.user) == 1)
    #expect(page.count(.call) == 2)
    #expect(page.count(.ipi) == 2)
    let deferrals = page.marks.filter { $0.activity == .deferral }
    // The first began before the recording.
    #expect(deferrals.map(\.start) == [0, 1_000, 8_500])
    #expect(deferrals.map(\.length) == [8_200, 7_100, -1])
    #expect(deferrals.map(\.merges) == [0, 1, 0])
    #expect(deferrals.map(\.name) == ["sync_text", "flush", "flush"])
    #expect(deferrals.map(\.sender) == [nil, "housekeeper-100", "housekeeper-100"])
    let interrupt = try #require(page.marks.first { $0.activity == .ipi })
    #expect(interrupt.cpu == 1 && interrupt.start == 2_010 && interrupt.senderCPU == 0)
    #expect(interrupt.name == "sync_text" && interrupt.callsite == "Housekeeper.run")
    #expect(page.lanes.map(\.cpu) == [1, 0])
    #expect(page.lanes.map(\.isIsolated) == [true, false])
    #expect(
      try self.page(TestRecording.manifold()).html.contains("17 events of CPU 0 are missing before")
    )
  }

  /// The ledger has every kind of disturbance, counted from the file by other means.
  @Test func everyDisturbanceIsCounted() throws {
    let recording = TraceLoad(cpuCount: 8, isolated: 4...7, events: 5_000).recording()
    let html = try page(recording).html
    var counts: [String: Int] = [:]
    for record in recording.records() {
      counts["\(recording.format(of: record)?.name ?? "") \(record.cpu)", default: 0] += 1
    }
    func cells(_ activity: TraceActivity) -> [Int: Int] {
      let pattern = /<tr data-cpu="(\d+)">(.*?)<\/tr>/
      var found: [Int: Int] = [:]
      for row in html.matches(of: pattern) {
        for cell in row.output.2.matches(of: /data-kind="(\d+)" data-count="(\d+)"/)
        where Int(cell.output.1) == Int(activity.rawValue) {
          found[Int(row.output.1) ?? -1] = Int(cell.output.2)
        }
      }
      return found
    }
    for (activity, event) in [
      (.tick, "local_timer_entry"), (.deviceInterrupt, "irq_handler_entry"),
      (.softirq, "softirq_entry"), (.call, "csd_function_entry"), (.pageFault, "page_fault_user"),
      (.ipiHandler, "call_function_single_entry"), (.noise, "irq_noise"),
    ] as [(TraceActivity, String)] {
      let cells = cells(activity)
      #expect(cells.values.reduce(0, +) > 0, "\(activity)")
      for (cpu, count) in cells {
        #expect(count == counts["\(event) \(cpu)"] ?? 0, "\(activity) of CPU \(cpu)")
      }
    }
    // Another thread comes with every other switch.
    let switches = cells(.thread)
    #expect(switches.values.reduce(0, +) > 100)
    for (cpu, count) in switches {
      #expect(abs(2 * count - (counts["sched_switch \(cpu)"] ?? 0)) <= 1)
    }
  }

  /// Of what there is too much of, marks are left out; bins and tables have all.
  @Test func whatIsLeftOutIsCounted() throws {
    let recording = TraceLoad(cpuCount: 8, isolated: 4...7, events: 20_000).recording()
    let part = PagePart(recording, title: "", isolated: [4, 5, 6, 7], mostMarks: 2_000)
    #expect(part.series.values.reduce(0) { $0 + $1.marks.count } <= 2_000)
    var thinned = 0
    for (key, series) in part.series where key.activity != .thread {
      if series.level == 0 {
        #expect(series.marks.count == series.seen)
        #expect(series.bins.isEmpty)
        continue
      }
      thinned += 1
      #expect(series.bins.reduce(0) { $0 + Int($1) } == series.seen)
      let kept = (series.seen + 1 << series.level - 1) >> series.level
      #expect(series.marks.count == kept)
    }
    #expect(thinned > 10)
    let whole = PagePart(recording, title: "", isolated: [4, 5, 6, 7])
    #expect(whole.ledger.mapValues(\.count) == part.ledger.mapValues(\.count))
    // Quiet CPUs keep every mark.
    #expect(part.series.values.contains { $0.level == 0 && $0.seen > 0 })
  }

  /// Fifty thousand events of 128 CPUs: the page says what it has to, and stays small.
  @Test func largeRecordingsMakeSmallPages() throws {
    let recording = TraceLoad(cpuCount: 128, isolated: 96...127, events: 50_000).recording()
    var sink = TraceSink()
    _ = try HTMLReport([HTMLReport.Part(recording)]).write(to: &sink)
    let page = try PageReading(try sink.finish())
    #expect(page.html.utf8.count < 4_000_000)
    #expect(page.lanes.prefix(32).allSatisfy { $0.isIsolated && $0.cpu >= 96 })
    #expect(page.lanes.dropFirst(32).allSatisfy { !$0.isIsolated && $0.cpu < 96 })
    #expect(page.lanes.count > 100)
    let sent = recording.interferences().reduce(0) { $0 + $1.count }
    #expect(page.count(.ipi) == sent)
    #expect(page.html.contains("<dt>events</dt><dd>50,000</dd>"))
    #expect(page.html.contains(/\d+ other CPUs: 0-/))
  }

  /// What has nothing to show is absent.
  @Test func nothingIsEmpty() throws {
    let empty = try page(TestRecording.empty(cpuCount: 2)).html
    #expect(!empty.contains("<table"))
    #expect(!empty.contains("<h2>"))
    let interrupts = try page(TestRecording.manifold()).html
    #expect(!interrupts.contains("class=\"deferrals\""))
    #expect(!interrupts.contains("ticks</th>"))
  }

  /// Two recordings stand side by side, each with its tables.
  @Test func partsStandSideBySide() throws {
    var sink = TraceSink()
    let recording = TestRecording.interplay()
    _ = try HTMLReport([
      HTMLReport.Part(recording, title: "first & best"),
      HTMLReport.Part(recording, title: "second", isolated: [0]),
    ]).write(to: &sink)
    let page = try PageReading(try sink.finish())
    let tables = page.html.matches(of: /class="senders" data-part="(\d)"/)
    #expect(tables.map(\.output.1) == ["0", "1"])
    #expect(page.html.contains("<th>first &amp; best</th><th>second</th>"))
    #expect(page.count(.ipi) == 4)
    #expect(page.lanes.map(\.cpu) == [1, 0, 0, 1])
  }

  /// What a trace says cannot become markup, nor end the script that it stands in.
  @Test func namesAreEscaped() throws {
    var recording = TestRecording.empty(cpuCount: 2)
    recording.nameThread(7, "</script><b>\"&'")
    recording.append(
      cpu: 0, timestamp: 1, event: TestRecording.id("ipi_send_cpu"),
      payload: TestPayload.sendCPU(1, from: 0, to: 0x1000, thread: 7))
    let page = try page(recording)
    #expect(!page.html.contains("<b>\""))
    #expect(page.html.contains("data-sender=\"&lt;/script&gt;&lt;b&gt;&quot;&amp;'-7\""))
    #expect(page.marks.map(\.sender) == ["</script><b>\"&'-7"])
  }

  @Test(
    arguments: [
      (999, "999 ns"), (1_000, "1.00 µs"), (12_345, "12.3 µs"), (999_999, "999 µs"),
      (1_005_000_000, "1.00 s"), (3_600_000_000_000, "3600 s"),
    ] as [(UInt64, String)])
  func durations(nanoseconds: UInt64, text: String) { #expect(nanoseconds.durationText == text) }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (-1_000, "-1,000"),
    (-100, "-100"),
  ])
  func grouping(number: Int, text: String) { #expect(number.grouped == text) }

  @Test(arguments: [[], [0], [1, 2], [0, 1, 2, 255], Array(0..<20) + [200]] as [[UInt8]])
  func base64(bytes: [UInt8]) { #expect(bytes.base64 == Data(bytes).base64EncodedString()) }

  @Test func lists() { #expect([7, 1, 2, 3, 9].cpuList == "1-3,7,9") }

  /// A real browser reads it, draws it, and filters its tables by the window in the address.
  @Test(.enabled(if: Program.browser != nil, "no browser is installed"))
  func aBrowserDrawsIt() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("report.html")
    let recording = TraceLoad(cpuCount: 8, isolated: 4...7, events: 3_000).recording()
    try recording.write(.html, to: path)
    func document(_ window: String) throws -> String {
      try #require(Program.browser).output([
        "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path("profile"))",
        "--virtual-time-budget=3000", "--dump-dom", "file://\(path)\(window)",
      ])
    }
    let whole = try document("")
    let drawn = try #require(
      whole.firstMatch(of: /data-marks="(\d+)" data-columns="(\d+)" data-arrows="(\d+)"/))
    #expect((Int(drawn.output.1) ?? 0) + (Int(drawn.output.2) ?? 0) > 500)
    #expect(!whole.contains("data-now="))
    let page = try PageReading(try recording.encoded(as: .html).bytes)
    let window = 2_000_000..<3_000_000
    let inside = page.marks.filter { $0.activity == .ipi && window.contains($0.start) }
    let filtered = try document("#window=\(window.lowerBound)-\(window.upperBound)")
    let pattern = /<tr data-sender="([^"]*)" data-callback="([^"]*)".*?data-now="(\d+)"/
    var counts: [String: Int] = [:]
    for row in filtered.matches(of: pattern) where row.output.3 != "0" {
      counts["\(row.output.1) \(row.output.2)"] = Int(row.output.3)
    }
    #expect(!counts.isEmpty)
    #expect(
      counts == Dictionary(grouping: inside) { "\($0.sender ?? "") \($0.name)" }.mapValues(\.count))
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import CPUIsolationTrace

/// JSON for Perfetto.
@Suite struct ChromeTraceTests {
  private func events(_ recording: TraceRecording) throws -> [[String: Any]] {
    let (bytes, damage) = try recording.encoded(as: .chrome)
    #expect(damage.isEmpty)
    let object = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    return try #require(object?["traceEvents"] as? [[String: Any]])
  }

  private func events(
    _ recording: TraceRecording, _ phase: String
  ) throws -> [[String: Any]] {
    try events(recording).filter { $0["ph"] as? String == phase }
  }

  /// A deferral is an asynchronous span from its set to its drain; one that is still pending has no
  /// end; one whose set is missing begins as long ago as its age says.
  @Test func deferralsAreSpans() throws {
    let recording = TestRecording.interplay()
    func spans(_ phase: String) throws -> [String] {
      try events(recording, phase).map {
        "\($0["id"] as? String ?? "?") \($0["name"] as? String ?? "?") "
          + "\($0["ts"] as? Double ?? -1) \($0["tid"] as? Int ?? -1)"
      }
    }
    #expect(
      try spans("b") == [
        "deferral 0 flush 2.0 2", "deferral 1 sync_text 0.2 2", "deferral 2 flush 9.5 2",
      ])
    #expect(try spans("e") == ["deferral 0 flush 9.1 2", "deferral 1 sync_text 9.2 2"])
    let begin = try #require(try events(recording, "b").first?["args"] as? [String: Any])
    #expect(begin["sender"] as? String == "housekeeper-100")
    #expect(begin["merges"] as? Int == 1)
  }

  /// Every arrow has two ends, and each end lies on a slice of its lane.
  @Test func arrowsJoinLanes() throws {
    let all = try events(TestRecording.interplay())
    func place(_ event: [String: Any]) -> String { "\(event["tid"] ?? "") \(event["ts"] ?? "")" }
    let slices = Set(all.filter { $0["ph"] as? String == "X" }.map(place))
    let starts = all.filter { $0["ph"] as? String == "s" }
    let ends = all.filter { $0["ph"] as? String == "f" }
    // Two calls, two interrupts, one deferral that was seen from set to drain.
    #expect(starts.count == 5)
    #expect(
      Set(starts.compactMap { $0["id"] as? Int }) == Set(ends.compactMap { $0["id"] as? Int }))
    #expect(ends.count == 5)
    for end in starts + ends { #expect(slices.contains(place(end)), "\(end)") }
    #expect(starts.allSatisfy { $0["tid"] as? Int == 1 })
    #expect(ends.allSatisfy { $0["tid"] as? Int == 2 && $0["bp"] as? String == "e" })
  }

  /// Slices of a lane nest, or the viewer shows nonsense.
  @Test(arguments: [TestRecording.interplay(), TestRecording.manifold()])
  func slicesNest(_ recording: TraceRecording) throws {
    for (_, lane) in Dictionary(
      grouping: try events(recording, "X"), by: { $0["tid"] as? Int ?? 0 })
    {
      let slices = lane.map { slice -> (Int, Int) in
        let start = Int(((slice["ts"] as? Double ?? 0) * 1000).rounded())
        return (start, start + Int(((slice["dur"] as? Double ?? 0) * 1000).rounded()))
      }
      for a in slices {
        for b in slices where a.0 < b.0 && b.0 < a.1 { #expect(b.1 <= a.1, "\(a) \(b)") }
      }
    }
  }

  /// One lane for each CPU, named after its thread if it has but one.
  @Test func lanesHaveNames() throws {
    let names = try events(TestRecording.interplay(), "M").compactMap { event -> String? in
      guard event["name"] as? String == "thread_name" else { return nil }
      return (event["args"] as? [String: Any])?["name"] as? String
    }
    #expect(names == ["CPU 0 (housekeeper)", "CPU 1 (router one)"])
    #expect(try events(TestRecording.manifold(), "M").count == 1 + 2 * 4)
  }

  /// Every event is there, with its text.
  @Test func everyEvent() throws {
    let recording = TestRecording.manifold()
    let instants = try events(recording, "i")
    #expect(instants.count == recording.records().reduce(0) { count, _ in count + 1 })
    let texts = instants.compactMap { ($0["args"] as? [String: Any])?["text"] as? String }
    #expect(texts.contains("cpumask=0,2-3 callsite=Housekeeper.run+0x0 callback=sync_text+0x0"))
  }

  @Test func quotes() {
    #expect("a\"b\\c\n\u{1}é".jsonQuoted == #""a\"b\\c\u000a\u0001é""#)
  }
}

/// The page with the timeline.
@Suite struct HTMLReportTests {
  private func page(_ recording: TraceRecording) throws -> String {
    String(decoding: try recording.encoded(as: .html).bytes, as: UTF8.self)
  }

  /// One row for each sender, target and callback, with the number of interrupts.
  @Test(arguments: [TestRecording.interplay(), TestRecording.manifold()])
  func oneRowForEachInterference(_ recording: TraceRecording) throws {
    let page = try page(recording)
    let rows = page.matches(
      of:
        /<tr data-sender="([^"]*)" data-target="(\d+)" data-callback="([^"]*)" data-count="(\d+)">/)
    let expected = recording.interferences()
    #expect(!expected.isEmpty)
    #expect(
      rows.map { "\($0.output.1) \($0.output.2) \($0.output.3) \($0.output.4)" }
        == expected.map {
          "\($0.sender.htmlEscaped) \($0.target) \($0.callback.htmlEscaped) \($0.count)"
        })
    #expect(page.matches(of: /data-sender/).count == expected.count)
  }

  @Test func interferencesAreCounted() {
    #expect(
      TestRecording.interplay().interferences() == [
        TraceInterference(sender: "housekeeper-100", target: 1, callback: "sync_text", count: 2)
      ])
  }

  /// Nothing is loaded: no address, no script, no style sheet, no picture.
  @Test func needsNoNetwork() throws {
    let page = try page(TestRecording.interplay())
    for word in ["http:", "https:", "src=", "href=", "<script", "<link", "url(", "@import"] {
      #expect(!page.contains(word), "\(word)")
    }
  }

  /// The drawing has what the recording has.
  @Test func timeline() throws {
    let page = try page(TestRecording.interplay())
    #expect(page.matches(of: /<rect class="deferral"/).count == 3)
    #expect(page.matches(of: /<rect class="call"/).count == 2)
    #expect(page.matches(of: /<rect class="user"/).count == 1)
    #expect(page.matches(of: /<path class="ipi"/).count == 2)
    #expect(page.contains("flush from housekeeper-100: waited 7.10 µs, sent 2 times"))
    #expect(page.contains("flush from housekeeper-100: still pending"))
    #expect(
      try self.page(TestRecording.manifold()).contains("17 events of CPU 0 are missing before"))
  }

  /// What a trace says cannot become markup.
  @Test func namesAreEscaped() throws {
    var recording = TestRecording.empty(cpuCount: 2)
    recording.nameThread(7, "<b>\"&'")
    recording.append(
      cpu: 0, timestamp: 1, event: TestRecording.id("ipi_send_cpu"),
      payload: TestPayload.sendCPU(1, from: 0, to: 0x1000, thread: 7))
    let page = try page(recording)
    #expect(!page.contains("<b>"))
    #expect(page.contains("data-sender=\"&lt;b&gt;&quot;&amp;'-7\""))
  }

  @Test(
    arguments: [
      (999, "999 ns"), (1_000, "1.00 µs"), (12_345, "12.3 µs"), (999_999, "999 µs"),
      (1_005_000_000, "1.00 s"), (3_600_000_000_000, "3600 s"),
    ] as [(UInt64, String)])
  func durations(nanoseconds: UInt64, text: String) { #expect(nanoseconds.durationText == text) }

  /// A real browser reads it: the rows are in the document that it makes of the page.
  @Test(.enabled(if: Program.browser != nil, "no browser is installed"))
  func aBrowserReadsIt() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("report.html")
    let recording = TestRecording.manifold()
    try recording.write(.html, to: path)
    let document = try #require(Program.browser).output([
      "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path("profile"))",
      "--dump-dom", "file://\(path)",
    ])
    #expect(document.matches(of: /data-sender=/).count == recording.interferences().count)
    #expect(document.contains("</svg>"))
  }
}

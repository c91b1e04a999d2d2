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

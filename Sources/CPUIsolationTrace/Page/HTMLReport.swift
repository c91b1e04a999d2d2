// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// One page of HTML about a recording, or about several side by side on one scale: a timeline of the
/// CPUs that were disturbed, what disturbed them, who sent it, and what was deferred.
///
/// ```swift
/// let report = HTMLReport([
///   HTMLReport.Part(immediate, title: "immediate", isolated: [2, 3]),
///   HTMLReport.Part(deferred, title: "deferred", isolated: [2, 3]),
/// ])
/// try report.write(to: "report.html")
/// ```
///
/// The page loads nothing and needs no network. However long a recording is, the page stays below
/// four megabytes: of what there is too much of, some marks are left out of the drawing, and counted
/// all the same.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: yes
public struct HTMLReport: Sendable {
  /// A recording, and what the page calls it.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Part: Sendable {
    let recording: TraceRecording
    let title: String
    let isolated: CPUMask?

    /// Makes a part of a page.
    ///
    /// - Parameters:
    ///   - recording: what is shown.
    ///   - title: what stands above it; empty where there is one part only.
    ///   - isolated: the CPUs that stand first; nil for those that go to user or that work was
    ///     deferred for, and where neither was recorded, those that are sent to and send nothing.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(_ recording: TraceRecording, title: String = "", isolated: CPUMask? = nil) {
      self.recording = recording
      self.title = title
      self.isolated = isolated
    }
  }

  private let parts: [Part]

  /// Makes a report of recordings, which stand beside each other in this order.
  ///
  /// - Parameter parts: at least one; they stand in this order.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ parts: [Part]) { self.parts = parts }

  /// Writes the page to a file, which appears when it is complete.
  ///
  /// `try HTMLReport([HTMLReport.Part(recording)]).write(to: "report.html")`
  ///
  /// - Parameter path: the file; `-` is standard output.
  /// - Returns: what of the recordings could not be read. It is missing on the page, which says so.
  /// - Throws: ``TraceFileError``, if the file cannot be written.
  /// - Progress: blocking: writes a file
  /// - Context: any thread
  /// - Allocates: yes, some megabytes
  @discardableResult
  public func write(to path: String) throws(TraceFileError) -> [TraceFileError] {
    var sink = try TraceSink(path: path)
    let damage = try write(to: &sink)
    _ = try sink.finish()
    return damage
  }

  /// What the marks of all parts may take together.
  private static let mostMarkBytes = 2_000_000

  func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    // One after the other: a part that is written needs no memory any more.
    let collected = parts.map {
      PagePart(
        $0.recording, title: $0.title, isolated: $0.isolated,
        mostMarks: (1 << 18) / max(1, parts.count))
    }
    let title =
      parts.count == 1
      ? "Trace of \(parts[0].recording.cpuCount) CPUs" : "Traces side by side"
    var page = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(title)</title>
      <style>
      \(PageStyle.text)</style>
      </head>
      <body>
      <header><h1>\(title)</h1>

      """
    page += "<div class=\"all\">\n"
    for part in collected { page += "<div>\(PageFacts(part).html)</div>\n" }
    page += "</div>\n</header>\n" + PageFacts.comparison(collected) + PageShell.timeline
    try sink.write(Array(page.utf8))
    for (index, part) in collected.enumerated() {
      if collected.count > 1 {
        try sink.write(Array("<h2 class=\"part\">\(part.title.htmlEscaped)</h2>\n".utf8))
      }
      try sink.write(Array(PageTables(part: part, index: index).html.utf8))
    }
    try sink.write(
      Array(
        """
        <script type="application/json" id="data">{"kinds":\(PageShell.kinds),
        "parts":[

        """.utf8))
    for (index, part) in collected.enumerated() {
      var data = PageData(part, mostBytes: Self.mostMarkBytes / collected.count)
      try sink.write(Array(((index > 0 ? ",\n" : "") + data.json()).utf8))
    }
    let end = "]}</script>\n<script>\n\(PageScript.text)</script>\n</body>\n</html>\n"
    try sink.write(Array(end.utf8))
    return collected.flatMap(\.damage)
  }
}

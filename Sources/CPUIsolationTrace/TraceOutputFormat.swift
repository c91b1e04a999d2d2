// SPDX-License-Identifier: Apache-2.0

/// What a recording can be written as.
///
/// `text`: lines as `trace-cmd report` prints them. `traceDat`: trace.dat of version 6, which
/// `trace-cmd report` and KernelShark open. `chrome`: JSON for Perfetto (ui.perfetto.dev) and
/// `chrome://tracing`. `html`: one page with a timeline and the table of interferences, which needs
/// no network.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum TraceOutputFormat: String, Sendable, CaseIterable {
  case text
  case traceDat = "dat"
  case chrome
  case html
}

extension TraceRecording {
  /// Writes the recording to a file. The file appears when it is complete: a writer that fails or
  /// is killed leaves what was there before.
  ///
  /// ```swift
  /// let damage = try recording.write(.traceDat, to: "trace.dat")
  /// ```
  ///
  /// - Parameters:
  ///   - format: what to write.
  ///   - path: the file; `-` is standard output.
  /// - Returns: what of the recording could not be read. It is missing in the file.
  /// - Throws: `TraceFileError`, if the file cannot be written.
  /// - Progress: blocking: writes a file
  /// - Context: any thread
  /// - Allocates: yes
  @discardableResult
  public func write(
    _ format: TraceOutputFormat, to path: String
  ) throws(TraceFileError) -> [TraceFileError] {
    var sink = try TraceSink(path: path)
    let damage = try write(format, to: &sink)
    _ = try sink.finish()
    return damage
  }

  /// The bytes of the file that `write` would make.
  ///
  /// `let (bytes, damage) = try recording.encoded(as: .chrome)`
  ///
  /// - Parameter format: what to make.
  /// - Returns: the bytes, and what of the recording could not be read.
  /// - Throws: `TraceFileError`, if the recording's own file can no longer be read.
  /// - Progress: blocking, if the recording was read from a file
  /// - Context: any thread
  /// - Allocates: the bytes
  public func encoded(
    as format: TraceOutputFormat
  ) throws(TraceFileError) -> (bytes: [UInt8], damage: [TraceFileError]) {
    var sink = TraceSink()
    let damage = try write(format, to: &sink)
    return (try sink.finish(), damage)
  }

  private func write(
    _ format: TraceOutputFormat, to sink: inout TraceSink
  ) throws(TraceFileError) -> [TraceFileError] {
    switch format {
    case .text:
      var report = TraceTextReport(self)
      try sink.write(Array((report.heading + "\n").utf8))
      var records = records()
      var line: [UInt8] = []
      while let record = records.next() {
        line.removeAll(keepingCapacity: true)
        report.append(record, to: &line)
        line.append(UInt8(ascii: "\n"))
        try sink.write(line)
      }
      return records.damage
    case .traceDat:
      var writer = TraceFileWriter(self)
      return try writer.write(to: &sink)
    case .chrome:
      var writer = ChromeTraceWriter(self)
      return try writer.write(to: &sink)
    case .html: return try HTMLReportWriter(self).write(to: &sink)
    }
  }
}

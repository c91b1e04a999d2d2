// SPDX-License-Identifier: Apache-2.0

/// What a recording can be written as.
///
/// `text`: lines as `trace-cmd report` prints them. `traceDat`: trace.dat of version 6, which
/// `trace-cmd report` and KernelShark open. `perfetto`: Perfetto's own format (ui.perfetto.dev).
/// `chrome`: JSON for Perfetto and `chrome://tracing`. `html`: one page with a timeline and tables
/// of what disturbed which CPU, which needs no network.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum TraceOutputFormat: String, Sendable, CaseIterable {
  case text
  case traceDat = "dat"
  case perfetto
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
  ///   - compression: how `traceDat` is compressed; it is of version 7 then, and no pipe. Other
  ///     formats are never compressed.
  /// - Returns: what of the recording could not be read. It is missing in the file.
  /// - Throws: ``TraceFileError``, if the file cannot be written.
  /// - Progress: blocking: writes a file
  /// - Context: any thread
  /// - Allocates: yes
  @discardableResult
  public func write(
    _ format: TraceOutputFormat, to path: String, compression: TraceCompression = .none
  ) throws(TraceFileError) -> [TraceFileError] {
    var sink = try TraceSink(path: path)
    let damage = try write(format, to: &sink, compression)
    _ = try sink.finish()
    return damage
  }

  /// The bytes of the file that `write` would make.
  ///
  /// `let (bytes, damage) = try recording.encoded(as: .chrome)`
  ///
  /// - Parameters:
  ///   - format: what to make.
  ///   - compression: how `traceDat` is compressed.
  /// - Returns: the bytes, and what of the recording could not be read.
  /// - Throws: ``TraceFileError``, if the recording's own file can no longer be read.
  /// - Progress: blocking, if the recording was read from a file
  /// - Context: any thread
  /// - Allocates: the bytes
  public func encoded(
    as format: TraceOutputFormat, compression: TraceCompression = .none
  ) throws(TraceFileError) -> (bytes: [UInt8], damage: [TraceFileError]) {
    var sink = TraceSink()
    let damage = try write(format, to: &sink, compression)
    return (try sink.finish(), damage)
  }

  private func write(
    _ format: TraceOutputFormat, to sink: inout TraceSink, _ compression: TraceCompression
  ) throws(TraceFileError) -> [TraceFileError] {
    switch format {
    case .text:
      var report = TraceTextReport(self)
      try sink.write(Array((report.heading + "\n").utf8))
      var records = records()
      while let record = records.next() {
        let following = records.following(record)
        try sink.write { line in
          if report.append(record, following: following, to: &line) {
            line.append(UInt8(ascii: "\n"))
          }
        }
      }
      return records.damage
    case .traceDat:
      return try writeTraceFile(to: &sink, compression)
    case .perfetto:
      var writer = PerfettoTraceWriter(self)
      return try writer.write(to: &sink)
    case .chrome:
      var writer = ChromeTraceWriter(self)
      return try writer.write(to: &sink)
    case .html: return try HTMLReport([HTMLReport.Part(self)]).write(to: &sink)
    }
  }
  private func writeTraceFile(
    to sink: inout TraceSink, _ compression: TraceCompression
  ) throws(TraceFileError) -> [TraceFileError] {
    let library: CompressionLibrary?
    do {
      library = try CompressionLibrary.of(compression)
    } catch {
      throw TraceFileError(
        .unsupported, file: sink.name, "cannot be compressed with \(compression): \(error)")
    }
    guard let library else {
      var writer = TraceFileWriter(self)
      return try writer.write(to: &sink)
    }
    guard sink.canPatch else {
      throw TraceFileError(
        .unsupported, file: sink.name,
        "a compressed file is no pipe: its first bytes are known when the last ones are written")
    }
    var writer = CompressedFileWriter(self, compression, library)
    return try writer.write(to: &sink)
  }
}

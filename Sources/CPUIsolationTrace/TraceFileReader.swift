// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Reads trace.dat, versions 6 and 7.
struct TraceFileReader {
  let source: TraceSource
  var cursor: TraceCursor
  var parts = TraceFileParts()
  var layout = TracePageLayout()
  var symbols = TraceSymbols()
  var threadNames: [Int32: String] = [:]
  var compression = TraceCompression.none
  var options = TraceFileOptions()

  init(_ source: TraceSource) {
    self.source = source
    cursor = TraceCursor(source)
  }

  mutating func read() throws(TraceFileError) -> TraceRecording {
    let magic: [UInt8] = [0x17, 0x08, 0x44] + "tracing".utf8
    guard try source.read(at: 0, count: magic.count) == magic else {
      throw TraceFileError(
        .notATrace, file: source.name, position: 0,
        "this is no trace.dat: it does not begin with 17 08 44 \"tracing\"")
    }
    cursor.seek(to: UInt64(magic.count))
    let versionOffset = cursor.offset
    let version = try cursor.text("the version", limit: 16)
    guard version == "6" || version == "7" else {
      throw source.error(
        .unsupported, at: versionOffset, "version \"\(version)\"; versions 6 and 7 can be read")
    }
    let orderOffset = cursor.offset
    let order = try cursor.number(UInt8.self, "the byte order")
    guard order < 2 else {
      throw source.error(.damaged, at: orderOffset, "a byte order of \(order)")
    }
    layout.order = order == 0 ? .little : .big
    cursor.order = layout.order
    let longOffset = cursor.offset
    let longSize = try cursor.number(UInt8.self, "the size of a long")
    guard longSize == 8 || longSize == 4 else {
      throw source.error(.damaged, at: longOffset, "a long of \(longSize) bytes")
    }
    layout.longSize = Int(longSize)
    let pageOffset = cursor.offset
    layout.pageSize = Int(try cursor.number(UInt32.self, "the page size"))
    guard layout.isPlausible else {
      throw source.error(.damaged, at: pageOffset, "a page size of \(layout.pageSize) bytes")
    }
    return version == "6" ? try readVersion6() : try readVersion7()
  }

  // MARK: What both versions have

  mutating func readHeaderInfo() throws(TraceFileError) {
    try cursor.expect("header_page\0", of: "the description of pages")
    parts.headerPage = try sized(UInt64.self, "the description of pages")
    try cursor.expect("header_event\0", of: "the description of events")
    parts.headerEvent = try sized(UInt64.self, "the description of events")
    if let size = TraceFileParts.longSize(headerPage: parts.headerPage) {
      layout.longSize = size
      guard layout.isPlausible else {
        throw cursor.error(.damaged, at: cursor.offset, "a commit field of \(size) bytes")
      }
    }
  }

  mutating func readFtraceFormats() throws(TraceFileError) {
    let count: UInt32 = try cursor.number("the number of ftrace formats")
    for _ in 0..<count { parts.ftraceFormats.append(try sized(UInt64.self, "an ftrace format")) }
  }

  mutating func readEventFormats() throws(TraceFileError) {
    let count: UInt32 = try cursor.number("the number of event systems")
    for _ in 0..<count {
      let name = try cursor.text("the name of an event system")
      let formats: UInt32 = try cursor.number("the number of events of \(name)")
      for _ in 0..<formats {
        parts.add(try sized(UInt64.self, "an event format of \(name)"), system: name)
      }
    }
  }

  mutating func readSymbols() throws(TraceFileError) {
    symbols = TraceSymbols(text: try sized(UInt32.self, "the symbols"))
  }

  mutating func readPrintk() throws(TraceFileError) {
    parts.printk = try sized(UInt32.self, "the printk formats")
  }

  mutating func readThreadNames() throws(TraceFileError) {
    let text = try sized(UInt64.self, "the names of threads")
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let line = String(decoding: line, as: UTF8.self)
      guard let blank = line.firstIndex(of: " "), let thread = Int32(line[..<blank]) else {
        continue
      }
      threadNames[thread] = threadNames[thread] ?? String(line[line.index(after: blank)...])
    }
  }

  /// Bytes after their number.
  private mutating func sized<Size: TraceNumber>(
    _ size: Size.Type, _ what: String
  ) throws(TraceFileError) -> [UInt8] {
    let count: Size = try cursor.number("the size of \(what)")
    return try cursor.bytes(UInt64(count), of: what)
  }

  func plausibleCPUCount(
    _ count: UInt32, at offset: UInt64, _ cursor: TraceCursor
  ) throws(TraceFileError) -> Int {
    guard (1...UInt32(CPUMask.maximumWidth)).contains(count) else {
      throw cursor.error(
        .damaged, at: offset, "\(count) CPUs, outside 1...\(CPUMask.maximumWidth)")
    }
    return Int(count)
  }

  func recording(cpuCount: Int, buffers: [TraceRecording.Buffer]) -> TraceRecording {
    var recording = TraceRecording(cpuCount: cpuCount, buffers: buffers)
    recording.parts = parts
    recording.options = options
    recording.symbols = symbols
    recording.threadNames = threadNames
    recording.printkTexts = PrintkTexts.parse(parts.printk)
    for (system, formats) in [("ftrace", parts.ftraceFormats)] + parts.systems {
      for text in formats {
        // A format that cannot be read makes its events unknown, not the file unreadable.
        guard
          let format = try? TraceEventFormat(
            parsing: text, system: system)
        else { continue }
        if recording.formats[format.id] == nil { recording.formats[format.id] = format }
      }
    }
    return recording
  }
}

extension TraceRecording {
  /// Reads a trace.dat of version 6 or 7.
  ///
  /// `let recording = try TraceRecording(contentsOf: "trace.dat")`
  ///
  /// Only what stands before the pages is read now. What is wrong with a page is found when its
  /// events are asked for; what is left out, or not understood, is in `warnings`.
  ///
  /// - Parameter path: the file; it stays open for as long as the recording is used.
  /// - Throws: ``TraceFileError``, with the byte.
  /// - Progress: blocking: reads the file
  /// - Context: any thread
  /// - Allocates: the descriptions in the file, its symbols above all
  public init(contentsOf path: String) throws(TraceFileError) {
    var reader = TraceFileReader(try TraceSource(path: path))
    self = try reader.read()
  }

  /// Reads a trace.dat that is in memory.
  ///
  /// `let recording = try TraceRecording(bytes: bytes, name: "upload")`
  ///
  /// - Parameters:
  ///   - bytes: the file's content.
  ///   - name: what errors call it.
  /// - Throws: ``TraceFileError``, with the byte.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the descriptions in the file
  public init(bytes: [UInt8], name: String = "trace.dat") throws(TraceFileError) {
    var reader = TraceFileReader(TraceSource(bytes: bytes, name: name))
    self = try reader.read()
  }
}

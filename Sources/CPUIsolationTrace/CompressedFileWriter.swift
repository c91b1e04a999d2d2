// SPDX-License-Identifier: Apache-2.0

/// Writes trace.dat of version 7 with compressed sections and pages.
///
/// - Source: trace-cmd.dat.v7(5); that the size of a CPU's pages does not count the number of their
///   chunks is as trace-cmd 3.1.6 writes it.
struct CompressedFileWriter {
  private let recording: TraceRecording
  private let description: TraceFileDescription
  private let compression: TraceCompression
  private let library: CompressionLibrary
  private var options: [UInt8] = []

  init(
    _ recording: TraceRecording, _ compression: TraceCompression, _ library: CompressionLibrary
  ) {
    self.recording = recording
    self.compression = compression
    self.library = library
    description = TraceFileDescription(recording: recording, isEncoded: recording.needsEncoding)
  }

  /// Returns what of the recording could not be read: its pages from there on are not in the file.
  mutating func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    var head = description.start(version: "7")
    head.appendTerminated(compression.rawValue)
    head.appendTerminated(library.version)
    let placeOfOptions = UInt64(head.count)
    head.appendZeros(8)
    try sink.write(head)

    for (section, content) in [
      (TraceFileOption.headerInfo, description.headerInfo),
      (TraceFileOption.ftraceFormats, description.ftraceFormats),
      (TraceFileOption.eventFormats, description.eventFormats),
      (TraceFileOption.symbols, description.symbols),
      (TraceFileOption.printk, description.printk),
      (TraceFileOption.threadNames, description.threadNames),
    ] {
      var place: [UInt8] = []
      place.appendLittleEndian(sink.count)
      options.appendOption(section, place)
      let compressed = try compress(content, for: sink)
      try sink.write(Self.sectionHead(section, isCompressed: true, UInt64(compressed.count)))
      try sink.write(compressed)
    }
    options += description.options
    var count: [UInt8] = []
    count.appendLittleEndian(UInt32(recording.cpuCount))
    options.appendOption(TraceFileOption.cpuCount, count)

    let damage = try writeBuffers(to: &sink)

    let place = sink.count
    options.appendOption(TraceFileOption.end, [UInt8](repeating: 0, count: 8))
    try sink.write(Self.sectionHead(0, isCompressed: false, UInt64(options.count)))
    try sink.write(options)
    try sink.patch(placeOfOptions, place)
    return damage
  }

  private mutating func writeBuffers(
    to sink: inout TraceSink
  ) throws(TraceFileError) -> [TraceFileError] {
    var damage: [TraceFileError] = []
    let copies = recording.pageCopies()
    for (index, buffer) in recording.buffers.enumerated() {
      let place = sink.count
      try sink.write(Self.sectionHead(TraceFileOption.buffer, isCompressed: true, 0))
      var table: [UInt8] = []
      var count: UInt32 = 0
      for copy in copies where copy.buffer == index {
        try sink.write([UInt8].padding(after: sink.count, pageSize: buffer.layout.pageSize))
        let start = sink.count
        var pages = copy.pages
        try write(&pages, pageSize: buffer.layout.pageSize, to: &sink)
        if let error = pages.damage { damage.append(error) }
        table.appendLittleEndian(UInt32(copy.cpu))
        table.appendLittleEndian(start)
        table.appendLittleEndian(sink.count - start - 4)
        count += 1
      }
      try sink.patch(place + 8, sink.count - place - 16)
      var option: [UInt8] = []
      option.appendLittleEndian(place)
      option.appendTerminated(buffer.name)
      option.appendTerminated(description.clock(of: buffer))
      option.appendLittleEndian(UInt32(buffer.layout.pageSize))
      option.appendLittleEndian(count)
      options.appendOption(TraceFileOption.buffer, option + table)
    }
    return damage
  }

  /// The number of the chunks, and the chunks.
  private func write(
    _ pages: inout TracePageCopy, pageSize: Int, to sink: inout TraceSink
  ) throws(TraceFileError) {
    let place = sink.count
    try sink.write([0, 0, 0, 0])
    var chunks: UInt32 = 0
    var waiting: [UInt8] = []
    let size = TraceCompression.pagesInChunk * pageSize
    var isAtEnd = false
    while !isAtEnd {
      if let next = pages.next() { waiting += next } else { isAtEnd = true }
      var start = 0
      while waiting.count - start >= size || isAtEnd && start < waiting.count {
        let end = min(start + size, waiting.count)
        try sink.write(try compress(Array(waiting[start..<end]), for: sink))
        chunks += 1
        start = end
      }
      waiting.removeFirst(start)
    }
    var number: [UInt8] = []
    number.appendLittleEndian(chunks)
    try sink.patch(place, number)
  }

  /// Both sizes, and the bytes.
  private func compress(
    _ content: [UInt8], for sink: borrowing TraceSink
  ) throws(TraceFileError) -> [UInt8] {
    do {
      let compressed = try library.compress(content)
      var bytes: [UInt8] = []
      bytes.appendLittleEndian(UInt32(compressed.count))
      bytes.appendLittleEndian(UInt32(content.count))
      return bytes + compressed
    } catch {
      throw TraceFileError(.system, file: sink.name, "cannot be compressed: \(error.reason)")
    }
  }

  private static func sectionHead(
    _ section: UInt16, isCompressed: Bool, _ size: UInt64
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(section)
    bytes.appendLittleEndian(UInt16(isCompressed ? 1 : 0))
    bytes.appendLittleEndian(UInt32(0))
    bytes.appendLittleEndian(size)
    return bytes
  }
}

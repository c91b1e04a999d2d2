// SPDX-License-Identifier: Apache-2.0

/// Writes trace.dat, version 6.
///
/// - Source: trace-cmd.dat.v6(5); what is not written there, such as the clock after the table of
///   CPUs and the tables of named instances, is as trace-cmd 3.1.6 writes it.
struct TraceFileWriter {
  private let recording: TraceRecording
  private let description: TraceFileDescription
  private var head: [UInt8] = []

  init(_ recording: TraceRecording) {
    self.recording = recording
    description = TraceFileDescription(recording: recording, isEncoded: recording.needsEncoding)
  }

  /// Returns what of the recording could not be read: its pages from there on are not in the file.
  mutating func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    // The tables say how long the pages are that come after them: they are made twice.
    let copies = recording.pageCopies()
    var damage: [TraceFileError] = []
    var sizes: [UInt64] = []
    for copy in copies {
      var pages = copy.pages
      var size: UInt64 = 0
      while let next = pages.next() { size += UInt64(next.count) }
      if let error = pages.damage { damage.append(error) }
      sizes.append(size)
    }

    appendDescription()
    let places = appendTables()
    // The pages follow at the next whole page; the tables before them say where.
    let pageSize = description.layout.pageSize
    var offset = UInt64(head.count)
    let padding = [UInt8].padding(after: offset, pageSize: pageSize)
    offset += UInt64(padding.count)
    for place in places {
      for cpu in 0..<recording.cpuCount { head.patch(place + cpu * 16, offset) }
    }
    for (copy, size) in zip(copies, sizes) {
      head.patch(places[copy.buffer] + copy.cpu * 16, offset)
      head.patch(places[copy.buffer] + copy.cpu * 16 + 8, size)
      offset += size
    }
    try sink.write(head)
    try sink.write(padding)
    for (copy, size) in zip(copies, sizes) {
      var pages = copy.pages
      var written: UInt64 = 0
      while let next = pages.next() {
        written += UInt64(next.count)
        guard written <= size else { break }
        try sink.write(next)
      }
      guard written == size else {
        throw TraceFileError(
          .truncated, file: sink.name, "what is read became another while it was written")
      }
    }
    return damage
  }

  private mutating func appendDescription() {
    head += description.start(version: "6")
    head += description.headerInfo
    head += description.ftraceFormats
    head += description.eventFormats
    head += description.symbols
    head += description.printk
    head += description.threadNames
    head.appendLittleEndian(UInt32(recording.cpuCount))
  }

  /// Returns where the table of each buffer begins.
  private mutating func appendTables() -> [Int] {
    head.appendTerminated("options  ")
    head += description.options
    var instances: [Int] = []
    for buffer in recording.buffers.dropFirst() {
      var option = [UInt8](repeating: 0, count: 8)
      option.appendTerminated(buffer.name)
      head.appendOption(TraceFileOption.buffer, option)
      instances.append(head.count - option.count)
    }
    head.appendLittleEndian(TraceFileOption.end)

    var places: [Int] = []
    for (index, buffer) in recording.buffers.enumerated() {
      if index > 0 { head.patch(instances[index - 1], UInt64(head.count)) }
      head.appendTerminated("flyrecord")
      places.append(head.count)
      head.appendZeros(16 * recording.cpuCount)
      head.append(Array("[\(description.clock(of: buffer))]".utf8), after: UInt64.self)
    }
    return places
  }
}

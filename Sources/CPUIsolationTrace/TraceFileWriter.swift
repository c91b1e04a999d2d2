// SPDX-License-Identifier: Apache-2.0

/// Writes trace.dat, version 6.
///
/// - Source: trace-cmd.dat.v6(5); what is not written there, such as the clock behind the table of
///   CPUs and the tables of named instances, is as trace-cmd 3.1.6 writes it.
struct TraceFileWriter {
  private let recording: TraceRecording
  private var head: [UInt8] = []

  init(_ recording: TraceRecording) { self.recording = recording }

  /// Returns what of the recording could not be read: its pages from there on are not in the file.
  mutating func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    var damage: [TraceFileError] = []
    var tables: [[Int: (pages: TracePages, size: UInt64)]] = []
    for buffer in recording.buffers {
      var table: [Int: (TracePages, UInt64)] = [:]
      for (cpu, pages) in buffer.pages() {
        let (size, error) = pages.intactSize()
        if let error { damage.append(error) }
        if size > 0 { table[cpu] = (pages, size) }
      }
      tables.append(table)
    }

    appendDescription()
    let places = appendTables()
    // The pages follow at the next whole page; the tables before them say where.
    let pageSize = UInt64(recording.buffers[0].layout.pageSize)
    var offset = (UInt64(head.count) + pageSize - 1) / pageSize * pageSize
    var order: [(TracePages, UInt64)] = []
    for (table, place) in zip(tables, places) {
      for cpu in 0..<recording.cpuCount {
        let entry = table[cpu]
        patch(place + cpu * 16, offset)
        patch(place + cpu * 16 + 8, entry?.size ?? 0)
        if let entry {
          order.append(entry)
          offset += entry.size
        }
      }
    }
    try sink.write(head)
    try sink.write(repeatElement(0, count: Int((pageSize - sink.count % pageSize) % pageSize)))
    for (pages, size) in order { try Self.copy(pages, size, to: &sink) }
    return damage
  }

  private static func copy(
    _ pages: TracePages, _ size: UInt64, to sink: inout TraceSink
  ) throws(TraceFileError) {
    var position: UInt64 = 0
    while position < size {
      let count = Int(min(size - position, 1 << 18))
      let bytes = try pages.source.read(at: pages.offset + position, count: count)
      guard bytes.count == count else {
        throw pages.source.error(
          .truncated, at: pages.offset + position, "the file became shorter while it was read")
      }
      try sink.write(bytes)
      position += UInt64(count)
    }
  }

  private mutating func appendDescription() {
    let parts = recording.parts
    let layout = recording.buffers[0].layout
    head += [0x17, 0x08, 0x44]
    head += "tracing".utf8
    head.appendTerminated("6")
    head += [0, 8]  // little endian; bytes of a long
    head.appendLittleEndian(UInt32(layout.pageSize))

    head.appendTerminated("header_page")
    let headerPage =
      parts.headerPage.isEmpty ? TraceFileParts.headerPage(layout) : parts.headerPage
    append(headerPage, UInt64.self)
    head.appendTerminated("header_event")
    append(parts.headerEvent.isEmpty ? TraceFileParts.headerEvent : parts.headerEvent, UInt64.self)

    head.appendLittleEndian(UInt32(parts.ftraceFormats.count))
    for format in parts.ftraceFormats { append(format, UInt64.self) }
    head.appendLittleEndian(UInt32(parts.systems.count))
    for system in parts.systems {
      head.appendTerminated(system.name)
      head.appendLittleEndian(UInt32(system.formats.count))
      for format in system.formats { append(format, UInt64.self) }
    }
    append(recording.symbols.text, UInt32.self)
    append(parts.printk, UInt32.self)
    var names: [UInt8] = []
    for (thread, name) in recording.threadNames.sorted(by: { $0.key < $1.key }) {
      names += "\(thread) \(name)\n".utf8
    }
    append(names, UInt64.self)
    head.appendLittleEndian(UInt32(recording.cpuCount))
  }

  /// Returns where the table of each buffer begins.
  private mutating func appendTables() -> [Int] {
    let clock = Array("[\(recording.buffers[0].clock)]".utf8) + [0]
    head.appendTerminated("options  ")
    head.appendLittleEndian(TraceFileOption.clock)
    append(clock, UInt32.self)
    if recording.timeOffset != 0 {
      head.appendLittleEndian(TraceFileOption.offset)
      append(Array("\(recording.timeOffset)".utf8) + [0], UInt32.self)
    }
    var instances: [Int] = []
    for buffer in recording.buffers.dropFirst() {
      head.appendLittleEndian(TraceFileOption.buffer)
      var option = [UInt8](repeating: 0, count: 8)
      option.appendTerminated(buffer.name)
      append(option, UInt32.self)
      instances.append(head.count - option.count)
    }
    head.appendLittleEndian(TraceFileOption.end)

    var places: [Int] = []
    for (index, buffer) in recording.buffers.enumerated() {
      if index > 0 { patch(instances[index - 1], UInt64(head.count)) }
      head.appendTerminated("flyrecord")
      places.append(head.count)
      head.appendZeros(16 * recording.cpuCount)
      append(Array("[\(buffer.clock)]".utf8), UInt64.self)
    }
    return places
  }

  private mutating func append<Size: FixedWidthInteger & UnsignedInteger>(
    _ bytes: [UInt8], _ size: Size.Type
  ) {
    head.appendLittleEndian(Size(bytes.count))
    head += bytes
  }

  private mutating func patch(_ place: Int, _ value: UInt64) {
    for index in 0..<8 { head[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }
}

/// Numbers of the options in a trace file.
///
/// - Source: trace-cmd.dat.v7(5); those up to `cpuCount` mean the same in version 6.
enum TraceFileOption {
  static let end: UInt16 = 0
  /// Microseconds to the time of day.
  static let date: UInt16 = 1
  static let buffer: UInt16 = 3
  static let clock: UInt16 = 4
  /// Nanoseconds to add.
  static let offset: UInt16 = 7
  static let cpuCount: UInt16 = 8
  static let headerInfo: UInt16 = 16
  static let ftraceFormats: UInt16 = 17
  static let eventFormats: UInt16 = 18
  static let symbols: UInt16 = 19
  static let printk: UInt16 = 20
  static let threadNames: UInt16 = 21
}

// SPDX-License-Identifier: Apache-2.0

/// What stands in a trace file besides the pages, part by part, as it is written.
struct TraceFileDescription {
  let recording: TraceRecording
  /// Whether pages are made anew: then times are final, and no option changes them.
  let isEncoded: Bool

  /// The pages' layout in the file that is written.
  var layout: TracePageLayout {
    var layout = recording.buffers[0].layout
    layout.order = .little
    return layout
  }

  /// What every version begins with.
  func start(version: String) -> [UInt8] {
    var bytes: [UInt8] = [0x17, 0x08, 0x44]
    bytes += "tracing".utf8
    bytes.appendTerminated(version)
    bytes += [0, UInt8(layout.longSize)]  // little endian; bytes of a long
    bytes.appendLittleEndian(UInt32(layout.pageSize))
    return bytes
  }

  var headerInfo: [UInt8] {
    let parts = recording.parts
    var bytes: [UInt8] = []
    bytes.appendTerminated("header_page")
    bytes.append(
      parts.headerPage.isEmpty ? TraceFileParts.headerPage(layout) : parts.headerPage,
      after: UInt64.self)
    bytes.appendTerminated("header_event")
    bytes.append(
      parts.headerEvent.isEmpty ? TraceFileParts.headerEvent : parts.headerEvent,
      after: UInt64.self)
    return bytes
  }

  var ftraceFormats: [UInt8] {
    let formats = recording.parts.ftraceFormats
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt32(formats.count))
    for format in formats { bytes.append(format, after: UInt64.self) }
    return bytes
  }

  var eventFormats: [UInt8] {
    let systems = recording.parts.systems
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(UInt32(systems.count))
    for system in systems {
      bytes.appendTerminated(system.name)
      bytes.appendLittleEndian(UInt32(system.formats.count))
      for format in system.formats { bytes.append(format, after: UInt64.self) }
    }
    return bytes
  }

  var symbols: [UInt8] { Self.counted(recording.symbols.text, UInt32.self) }

  var printk: [UInt8] { Self.counted(recording.parts.printk, UInt32.self) }

  var threadNames: [UInt8] {
    var names: [UInt8] = []
    for (thread, name) in recording.threadNames.sorted(by: { $0.key < $1.key }) {
      names += "\(thread) \(name)\n".utf8
    }
    return Self.counted(names, UInt64.self)
  }

  private static func counted<Size: FixedWidthInteger & UnsignedInteger>(
    _ bytes: [UInt8], _ size: Size.Type
  ) -> [UInt8] {
    var result: [UInt8] = []
    result.append(bytes, after: size)
    return result
  }

  /// The options that mean the same in both versions, without an end.
  var options: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendOption(
      TraceFileOption.clock, Array("[\(clock(of: recording.buffers[0]))]".utf8) + [0])
    if isEncoded { return bytes }
    if recording.options.timeOffset != 0 {
      bytes.appendOption(
        TraceFileOption.offset, Array("\(recording.options.timeOffset)".utf8) + [0])
    }
    for (option, body) in recording.options.kept { bytes.appendOption(option, body) }
    return bytes
  }

  /// What the clock of a buffer is called: a rate that was applied is of no use to a reader.
  func clock(of buffer: TraceRecording.Buffer) -> String {
    isEncoded && buffer.hasTickRate ? "tsc2nsec" : buffer.clock
  }
}

extension [UInt8] {
  mutating func appendOption(_ option: UInt16, _ body: [UInt8]) {
    appendLittleEndian(option)
    append(body, after: UInt32.self)
  }

  /// Bytes after their number.
  mutating func append<Size: FixedWidthInteger & UnsignedInteger>(
    _ bytes: [UInt8], after size: Size.Type
  ) {
    appendLittleEndian(Size(bytes.count))
    self += bytes
  }

  mutating func patch(_ place: Int, _ value: UInt64) {
    for index in 0..<8 { self[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }

  /// Zeros up to a whole page.
  static func padding(after count: UInt64, pageSize: Int) -> [UInt8] {
    let size = UInt64(pageSize)
    return [UInt8](repeating: 0, count: Int((size - count % size) % size))
  }
}

// SPDX-License-Identifier: Apache-2.0

extension TraceFileReader {
  // MARK: Version 6

  /// Everything stands in a fixed order, the options last.
  mutating func readVersion6() throws(TraceFileError) -> TraceRecording {
    try readHeaderInfo()
    try readFtraceFormats()
    try readEventFormats()
    try readSymbols()
    try readPrintk()
    try readThreadNames()
    let countOffset = cursor.offset
    let cpuCount = try plausibleCPUCount(
      cursor.number(UInt32.self, "the number of CPUs"), at: countOffset)

    var instances: [(name: String, offset: UInt64)] = []
    var hasClock = false
    var kindOffset = cursor.offset
    var kind = try cursor.bytes(10, of: "the kind of data")
    if kind.elementsEqual("options  \0".utf8) {
      while let (option, body) = try nextOption() {
        switch option {
        case TraceFileOption.buffer:
          var fields = TraceCursor(source, at: body.offset, end: body.offset + body.size)
          let offset: UInt64 = try fields.number("the place of a buffer")
          instances.append((try fields.text("the name of a buffer"), offset))
        default:
          if option == TraceFileOption.clock { hasClock = true }
          readOption(option, body.bytes)
        }
      }
      kindOffset = cursor.offset
      kind = try cursor.bytes(10, of: "the kind of data")
    }
    if kind.elementsEqual("latency  \0".utf8) {
      throw source.error(
        .unsupported, at: kindOffset, "this is the text of a latency tracer, not a recording")
    }
    guard kind.elementsEqual("flyrecord\0".utf8) else {
      throw source.error(.damaged, at: kindOffset, "neither options nor a recording begins here")
    }
    var buffers = [try readTable("", cpuCount: cpuCount, hasClock: hasClock)]
    for instance in instances {
      cursor.seek(to: instance.offset)
      try cursor.expect("flyrecord\0", of: "the buffer \(instance.name)")
      buffers.append(try readTable(instance.name, cpuCount: cpuCount, hasClock: hasClock))
    }
    return recording(cpuCount: cpuCount, buffers: buffers)
  }

  private typealias OptionBody = (offset: UInt64, size: UInt64, bytes: [UInt8])

  private mutating func nextOption() throws(TraceFileError) -> (UInt16, OptionBody)? {
    let option: UInt16 = try cursor.number("an option")
    if option == TraceFileOption.end { return nil }
    let size: UInt32 = try cursor.number("the size of an option")
    let offset = cursor.offset
    let bytes = try cursor.bytes(UInt64(size), of: "option \(option)")
    return (option, (offset, UInt64(size), bytes))
  }

  private mutating func readTable(
    _ name: String, cpuCount: Int, hasClock: Bool
  ) throws(TraceFileError) -> TraceRecording.Buffer {
    var recorded: [(cpu: Int, pages: TracePages)] = []
    for cpu in 0..<cpuCount {
      let offset: UInt64 = try cursor.number("where the pages of CPU \(cpu) are")
      let size: UInt64 = try cursor.number("how long the pages of CPU \(cpu) are")
      if size > 0 {
        recorded.append(
          (cpu, TracePages(source: source, offset: offset, size: size, layout: layout)))
      }
    }
    var clock = clock
    if hasClock {
      let size: UInt64 = try cursor.number("the size of the clock's name")
      clock = Self.clock(in: try cursor.bytes(size, of: "the clock's name")) ?? clock
    }
    return TraceRecording.Buffer(name: name, clock: clock, layout: layout, recorded: recorded)
  }

  // MARK: Version 7

  /// Sections lie anywhere; a chain of option sections says where.
  mutating func readVersion7() throws(TraceFileError) -> TraceRecording {
    let compressionOffset = cursor.offset
    let compression = try cursor.text("the name of the compression", limit: 64)
    _ = try cursor.text("the version of the compression", limit: 64)
    guard compression == "none" else { throw compressed(compression, at: compressionOffset) }

    var cpuCount = 0
    var buffers: [OptionBody] = []
    var sections: [(option: UInt16, offset: UInt64)] = []
    var visited: Set<UInt64> = []
    var next: UInt64 = try cursor.number("the place of the options")
    while next != 0 {
      guard visited.insert(next).inserted else {
        throw source.error(.damaged, at: next, "the options lead back to here")
      }
      let end = try enterSection(0, at: next, "the options")
      next = 0
      while cursor.offset < end {
        let option: UInt16 = try cursor.number("an option")
        let size: UInt32 = try cursor.number("the size of an option")
        let offset = cursor.offset
        let body = try cursor.bytes(UInt64(size), of: "option \(option)")
        switch option {
        case TraceFileOption.buffer: buffers.append((offset, UInt64(size), body))
        case TraceFileOption.cpuCount:
          cpuCount = try plausibleCPUCount(body.littleEndian(at: 0) ?? 0, at: offset)
        case TraceFileOption.headerInfo...TraceFileOption.threadNames:
          guard let place: UInt64 = body.littleEndian(at: 0) else { break }
          sections.append((option, place))
        case TraceFileOption.end:
          next = body.littleEndian(at: 0) ?? 0
          cursor.seek(to: end)
        default: readOption(option, body)
        }
      }
    }
    // The description of pages first: the others' meaning depends on it.
    for (option, offset) in sections.sorted(by: { $0.option < $1.option }) {
      try readSection(option, at: offset)
    }
    return try recording(cpuCount: cpuCount, options: buffers)
  }

  private mutating func readSection(
    _ option: UInt16, at offset: UInt64
  ) throws(TraceFileError) {
    _ = try enterSection(option, at: offset, "section \(option)")
    switch option {
    case TraceFileOption.headerInfo: try readHeaderInfo()
    case TraceFileOption.ftraceFormats: try readFtraceFormats()
    case TraceFileOption.eventFormats: try readEventFormats()
    case TraceFileOption.symbols: try readSymbols()
    case TraceFileOption.printk: try readPrintk()
    default: try readThreadNames()
    }
  }

  /// Reads a section's head and returns where the section ends.
  private mutating func enterSection(
    _ expected: UInt16, at offset: UInt64, _ what: String
  ) throws(TraceFileError) -> UInt64 {
    cursor.seek(to: offset)
    let section: UInt16 = try cursor.number(what)
    guard section == expected else {
      throw source.error(
        .damaged, at: offset, "\(what) should begin here; section \(section) does")
    }
    let flags: UInt16 = try cursor.number(what)
    if flags & 1 != 0 { throw compressed("something", at: offset) }
    _ = try cursor.number(UInt32.self, what)
    let size: UInt64 = try cursor.number(what)
    guard size <= source.size - min(cursor.offset, source.size) else {
      throw source.error(
        .truncated, at: offset, "\(what) needs \(size) bytes; the file ends at \(source.size)")
    }
    return cursor.offset + size
  }

  private func compressed(_ name: String, at offset: UInt64) -> TraceFileError {
    source.error(
      .unsupported, at: offset,
      "the file is compressed with \(name); this makes one that can be read: "
        + "trace-cmd convert --compression none -i \(source.name) -o FILE")
  }

  private mutating func recording(
    cpuCount known: Int, options: [OptionBody]
  ) throws(TraceFileError) -> TraceRecording {
    var cpuCount = max(known, 1)
    var buffers: [TraceRecording.Buffer] = []
    for option in options {
      var fields = TraceCursor(source, at: option.offset, end: option.offset + option.size)
      _ = try fields.number(UInt64.self, "the place of a buffer")
      let name = try fields.text("the name of a buffer")
      let clock = try fields.text("the clock of a buffer")
      var layout = layout
      let pageOffset = fields.offset
      layout.pageSize = Int(try fields.number(UInt32.self, "the page size of a buffer"))
      guard layout.isPlausible else {
        throw source.error(.damaged, at: pageOffset, "a page size of \(layout.pageSize) bytes")
      }
      let count: UInt32 = try fields.number("the number of CPUs of a buffer")
      var recorded: [(cpu: Int, pages: TracePages)] = []
      for _ in 0..<count {
        let cpuOffset = fields.offset
        let cpu: UInt32 = try fields.number("a CPU of a buffer")
        let offset: UInt64 = try fields.number("where the pages of CPU \(cpu) are")
        let size: UInt64 = try fields.number("how long the pages of CPU \(cpu) are")
        if known == 0 {
          cpuCount = max(cpuCount, try plausibleCPUCount(cpu &+ 1, at: cpuOffset))
        }
        guard cpu < cpuCount else {
          throw source.error(.damaged, at: cpuOffset, "CPU \(cpu) of \(cpuCount)")
        }
        if size > 0 {
          recorded.append(
            (Int(cpu), TracePages(source: source, offset: offset, size: size, layout: layout)))
        }
      }
      recorded.sort { $0.cpu < $1.cpu }
      let named = Self.clock(in: Array(clock.utf8)) ?? clock
      buffers.append(
        TraceRecording.Buffer(
          name: name, clock: named.isEmpty ? self.clock : named, layout: layout,
          recorded: recorded))
    }
    if let first = buffers.firstIndex(where: { $0.name.isEmpty }) {
      buffers.swapAt(0, first)
    } else {
      buffers.insert(TraceRecording.Buffer(name: "", clock: clock, layout: layout), at: 0)
    }
    return self.recording(cpuCount: cpuCount, buffers: buffers)
  }
}

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
      cursor.number(UInt32.self, "the number of CPUs"), at: countOffset, cursor)

    var instances: [(name: String, offset: UInt64)] = []
    var hasClock = false
    var kindOffset = cursor.offset
    var kind = try cursor.bytes(10, of: "the kind of data")
    if kind.elementsEqual("options  \0".utf8) {
      while let (option, part) = try nextOption() {
        switch option {
        case TraceFileOption.buffer:
          var fields = part
          let offset: UInt64 = try fields.number("the place of a buffer")
          instances.append((try fields.text("the name of a buffer"), offset))
        default:
          if option == TraceFileOption.clock { hasClock = true }
          try options.read(option, part)
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
      do {
        cursor.seek(to: instance.offset)
        try cursor.expect("flyrecord\0", of: "its table")
        buffers.append(try readTable(instance.name, cpuCount: cpuCount, hasClock: hasClock))
      } catch {
        leaveOut(instance.name, error)
      }
    }
    return recording(cpuCount: cpuCount, buffers: buffers)
  }

  private mutating func leaveOut(_ instance: String, _ error: TraceFileError) {
    options.leavesInstanceOut = true
    options.warnings.append(
      TraceFileError(
        error.code, file: error.file, position: error.position, errno: error.errno,
        "the instance \(instance) is left out: \(error.message)"))
  }

  private mutating func nextOption() throws(TraceFileError) -> (UInt16, TraceCursor)? {
    let option: UInt16 = try cursor.number("an option")
    if option == TraceFileOption.end { return nil }
    let size: UInt32 = try cursor.number("the size of an option")
    return (option, try cursor.part(UInt64(size), of: "option \(option)"))
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
    var clock = options.clock
    if hasClock {
      let size: UInt64 = try cursor.number("the size of the clock's name")
      clock =
        TraceFileOptions.clock(in: try cursor.bytes(size, of: "the clock's name")) ?? clock
    }
    return TraceRecording.Buffer(
      name: name, clock: clock, layout: layout, recorded: recorded,
      hasTickRate: options.tickRate != nil)
  }

  // MARK: Version 7

  /// Sections lie anywhere; a chain of option sections says where.
  mutating func readVersion7() throws(TraceFileError) -> TraceRecording {
    let compressionOffset = cursor.offset
    let name = try cursor.text("the name of the compression", limit: 64)
    _ = try cursor.text("the version of the compression", limit: 64)
    guard let compression = TraceCompression(rawValue: name) else {
      throw source.error(
        .unsupported, at: compressionOffset,
        "it is compressed with \(name), not with zstd or zlib; a trace-cmd that knows it makes one "
          + "that is not: trace-cmd convert --compression none -i \(source.name) -o FILE")
    }
    self.compression = compression

    var cpuCount = 0
    var buffers: [TraceCursor] = []
    var sections: [(option: UInt16, offset: UInt64)] = []
    var visited: Set<UInt64> = []
    var next: UInt64 = try cursor.number("the place of the options")
    while next != 0 {
      guard visited.insert(next).inserted else {
        throw source.error(.damaged, at: next, "the options lead back to here")
      }
      try enterSection(0, at: next, "the options")
      next = 0
      while cursor.offset < cursor.end {
        let option: UInt16 = try cursor.number("an option")
        let size: UInt32 = try cursor.number("the size of an option")
        let part = try cursor.part(UInt64(size), of: "option \(option)")
        var fields = part
        switch option {
        case TraceFileOption.buffer: buffers.append(part)
        case TraceFileOption.cpuCount:
          cpuCount = try plausibleCPUCount(
            fields.number(UInt32.self, "the number of CPUs"), at: part.offset, fields)
        case TraceFileOption.headerInfo...TraceFileOption.threadNames:
          sections.append((option, try fields.number("the place of section \(option)")))
        case TraceFileOption.end:
          next = try fields.number("the place of more options")
          cursor.seek(to: cursor.end)
        default: try options.read(option, part)
        }
      }
    }
    // The description of pages first: the others' meaning depends on it.
    for (option, offset) in sections.sorted(by: { $0.option < $1.option }) {
      try readSection(option, at: offset)
    }
    return try recording(cpuCount: cpuCount, buffers: buffers)
  }

  private mutating func readSection(
    _ option: UInt16, at offset: UInt64
  ) throws(TraceFileError) {
    try enterSection(option, at: offset, "section \(option)")
    switch option {
    case TraceFileOption.headerInfo: try readHeaderInfo()
    case TraceFileOption.ftraceFormats: try readFtraceFormats()
    case TraceFileOption.eventFormats: try readEventFormats()
    case TraceFileOption.symbols: try readSymbols()
    case TraceFileOption.printk: try readPrintk()
    default: try readThreadNames()
    }
  }

  /// Reads a section's head, and leaves the cursor over what the section holds.
  private mutating func enterSection(
    _ expected: UInt16, at offset: UInt64, _ what: String
  ) throws(TraceFileError) {
    let head = try sectionHead(expected, at: offset, what)
    cursor = head.content
    guard head.isCompressed else { return }
    let compressed: UInt32 = try cursor.number("the size of what is compressed")
    let claimed: UInt32 = try cursor.number("the size of what was compressed")
    let bytes = try cursor.bytes(UInt64(compressed), of: what)
    let content = try compression.decompress(bytes, UInt64(claimed), at: offset, in: source)
    cursor = TraceCursor(decompressed: content, at: offset, in: source, layout.order)
  }

  private func sectionHead(
    _ expected: UInt16, at offset: UInt64, _ what: String
  ) throws(TraceFileError) -> (isCompressed: Bool, content: TraceCursor) {
    var head = TraceCursor(source)
    head.order = layout.order
    head.seek(to: offset)
    let section: UInt16 = try head.number(what)
    guard section == expected else {
      throw source.error(
        .damaged, at: offset, "\(what) should begin here; section \(section) does")
    }
    let flags: UInt16 = try head.number(what)
    _ = try head.number(UInt32.self, what)
    let size: UInt64 = try head.number(what)
    return (flags & 1 != 0, try head.part(size, of: what))
  }

  private mutating func recording(
    cpuCount known: Int, buffers parts: [TraceCursor]
  ) throws(TraceFileError) -> TraceRecording {
    var cpuCount = max(known, 1)
    var buffers: [TraceRecording.Buffer] = []
    var failures: [TraceFileError] = []
    for part in parts {
      var name = ""
      do {
        buffers.append(try buffer(part, known: known, &cpuCount, &name))
      } catch {
        failures.append(error)
        leaveOut(name, error)
      }
    }
    // Without any buffer there is nothing that the damage could be beside.
    if buffers.isEmpty, let first = failures.first { throw first }
    if let first = buffers.firstIndex(where: { $0.name.isEmpty }) {
      buffers.swapAt(0, first)
    } else {
      buffers.insert(TraceRecording.Buffer(name: "", clock: options.clock, layout: layout), at: 0)
    }
    return self.recording(cpuCount: cpuCount, buffers: buffers)
  }

  private func buffer(
    _ part: TraceCursor, known: Int, _ cpuCount: inout Int, _ name: inout String
  ) throws(TraceFileError) -> TraceRecording.Buffer {
    var fields = part
    let place: UInt64 = try fields.number("the place of a buffer")
    name = try fields.text("the name of a buffer")
    let clock = try fields.text("the clock of a buffer")
    let head = try sectionHead(TraceFileOption.buffer, at: place, "its section")
    var layout = layout
    let pageOffset = fields.offset
    layout.pageSize = Int(try fields.number(UInt32.self, "the page size of a buffer"))
    guard layout.isPlausible else {
      throw fields.error(.damaged, at: pageOffset, "a page size of \(layout.pageSize) bytes")
    }
    let count: UInt32 = try fields.number("the number of CPUs of a buffer")
    var recorded: [(cpu: Int, pages: TracePages)] = []
    for _ in 0..<count {
      let cpuOffset = fields.offset
      let cpu: UInt32 = try fields.number("a CPU of a buffer")
      let offset: UInt64 = try fields.number("where the pages of CPU \(cpu) are")
      let size: UInt64 = try fields.number("how long the pages of CPU \(cpu) are")
      if known == 0 {
        cpuCount = max(cpuCount, try plausibleCPUCount(cpu &+ 1, at: cpuOffset, fields))
      }
      guard cpu < cpuCount else {
        throw fields.error(.damaged, at: cpuOffset, "CPU \(cpu) of \(cpuCount)")
      }
      if size > 0 {
        recorded.append(
          (
            Int(cpu),
            TracePages(
              source: source, offset: offset, size: size, layout: layout,
              compression: head.isCompressed ? compression : .none)
          ))
      }
    }
    recorded.sort { $0.cpu < $1.cpu }
    let named = TraceFileOptions.clock(in: Array(clock.utf8)) ?? clock
    return TraceRecording.Buffer(
      name: name, clock: named.isEmpty ? options.clock : named, layout: layout,
      recorded: recorded, hasTickRate: options.tickRate != nil)
  }
}

// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolationTrace

/// Writes version 7 without compression, as the manual says it: the library itself writes only
/// compressed ones.
enum Version7 {
  static func file(
    of recording: TraceRecording, sorted: Bool, instances: [String] = [],
    compression: String = "none", clock: String = "mono", loops: Bool = false,
    dangling: String? = nil,
    options more: [(UInt16, [UInt8])] = []
  ) throws -> [UInt8] {
    var bytes: [UInt8] = [0x17, 0x08, 0x44] + Array("tracing".utf8)
    bytes.appendTerminated("7")
    bytes += [0, 8]
    let layout = recording.buffers[0].layout
    bytes.appendLittleEndian(UInt32(layout.pageSize))
    bytes.appendTerminated(compression)
    bytes.appendTerminated("1")
    let optionsPlace = bytes.count
    bytes.appendZeros(8)

    var options: [UInt8] = []
    func option(_ id: UInt16, _ body: [UInt8]) {
      options.appendLittleEndian(id)
      options.appendLittleEndian(UInt32(body.count))
      options += body
    }
    func little(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
      var bytes: [UInt8] = []
      bytes.appendLittleEndian(value)
      return bytes
    }
    func section(_ id: UInt16, _ body: [UInt8]) {
      option(id, little(UInt64(bytes.count)))
      bytes.appendLittleEndian(id)
      bytes.appendLittleEndian(UInt16(0))
      bytes.appendLittleEndian(UInt32(0))
      bytes.appendLittleEndian(UInt64(body.count))
      bytes += body
    }

    var sections: [(UInt16, [UInt8])] = []
    var header: [UInt8] = []
    header.appendTerminated("header_page")
    let page = TraceFileParts.headerPage(layout)
    header += little(UInt64(page.count)) + page
    header.appendTerminated("header_event")
    header += little(UInt64(TraceFileParts.headerEvent.count)) + TraceFileParts.headerEvent
    sections.append((16, header))
    sections.append((17, little(UInt32(0))))
    var formats = little(UInt32(recording.parts.systems.count))
    for system in recording.parts.systems {
      formats.appendTerminated(system.name)
      formats += little(UInt32(system.formats.count))
      for format in system.formats { formats += little(UInt64(format.count)) + format }
    }
    sections.append((18, formats))
    let symbols = recording.symbols.text
    sections.append((19, little(UInt32(symbols.count)) + symbols))
    sections.append((20, little(UInt32(0))))
    let names = recording.threadNames.map { "\($0.key) \($0.value)\n" }.sorted().joined()
    sections.append((21, little(UInt64(names.utf8.count)) + Array(names.utf8)))
    for (id, body) in sorted ? sections : sections.reversed() { section(id, body) }

    option(8, little(UInt32(recording.cpuCount)))
    for (id, body) in more { option(id, body) }
    for name in [""] + instances {
      let pages = recording.buffers[0].pages()
      var body = little(name == dangling ? 0 : UInt64(bytes.count))
      bytes += little(UInt16(3)) + little(UInt16(0)) + little(UInt32(0))
      let size = pages.reduce(0) { $0 + $1.pages.size }
      let padding = layout.pageSize - (bytes.count + 8) % layout.pageSize
      bytes += little(UInt64(padding) + size)
      bytes.appendZeros(padding)
      body.appendTerminated(name)
      body.appendTerminated("[\(clock)]")
      body += little(UInt32(layout.pageSize)) + little(UInt32(pages.count))
      for (cpu, pages) in sorted ? pages : pages.reversed() {
        body += little(UInt32(cpu)) + little(UInt64(bytes.count)) + little(pages.size)
        bytes += try pages.source.read(at: 0, count: Int(pages.size))
      }
      option(3, body)
    }
    let start = UInt64(bytes.count)
    option(0, little(loops ? start : 0))
    for index in 0..<8 {
      bytes[optionsPlace + index] = UInt8(truncatingIfNeeded: start >> (8 * index))
    }
    bytes += little(UInt16(0)) + little(UInt16(0)) + little(UInt32(0))
    bytes += little(UInt64(options.count)) + options
    return bytes
  }
}

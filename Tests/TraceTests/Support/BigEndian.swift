// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

@testable import CPUIsolationTrace

/// Writes version 6 as a big-endian machine does.
enum BigEndian {
  static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static func sized(_ bytes: [UInt8], _ size: [UInt8]) -> [UInt8] { size + bytes }

  /// Numbers of the built-in events are as wide as their fields; a mask is of words of eight bytes.
  private static func payload(_ payload: [UInt8], _ format: TraceEventFormat) -> [UInt8] {
    var result = payload
    func turn(_ start: Int, _ size: Int) {
      guard start + size <= payload.count else { return }
      for index in 0..<size { result[start + index] = payload[start + size - 1 - index] }
    }
    for field in format.fields {
      turn(field.offset, field.size)
      guard field.isLocation else { continue }
      let place = Int(payload[field.offset]) | Int(payload[field.offset + 1]) << 8
      let length = Int(payload[field.offset + 2]) | Int(payload[field.offset + 3]) << 8
      for start in stride(from: place, to: place + length, by: 8) { turn(start, 8) }
    }
    return result
  }

  /// One page for each CPU, of events within 27 bits of nanoseconds of one another.
  static func file(
    of recording: TraceRecording, options: [(UInt16, [UInt8])] = []
  ) -> [UInt8] {
    let pageSize = 4096
    var file: [UInt8] = [0x17, 0x08, 0x44] + Array("tracing6\0".utf8) + [1, 8]
    file += bytes(UInt32(pageSize))
    file += "header_page\0".utf8
    let header = TraceFileParts.headerPage(TracePageLayout())
    file += sized(header, bytes(UInt64(header.count)))
    file += "header_event\0".utf8
    let event = TraceFileParts.headerEvent
    file += sized(event, bytes(UInt64(event.count)))
    file += bytes(UInt32(0)) + bytes(UInt32(recording.parts.systems.count))
    for system in recording.parts.systems {
      file += system.name.utf8 + [0] + bytes(UInt32(system.formats.count))
      for format in system.formats { file += sized(format, bytes(UInt64(format.count))) }
    }
    file += sized(recording.symbols.text, bytes(UInt32(recording.symbols.text.count)))
    file += bytes(UInt32(0))
    let names = Array(
      recording.threadNames.map { "\($0.key) \($0.value)\n" }.sorted().joined().utf8)
    file += sized(names, bytes(UInt64(names.count)))
    file += bytes(UInt32(recording.cpuCount))
    file += "options  \0".utf8
    let clock = Array("[mono]\0".utf8)
    for (option, body) in [(TraceFileOption.clock, clock)] + options {
      file += bytes(option) + bytes(UInt32(body.count)) + body
    }
    file += bytes(UInt16(0)) + Array("flyrecord\0".utf8)
    let first = (file.count + 16 * recording.cpuCount + 14 + pageSize - 1) / pageSize * pageSize
    for cpu in 0..<recording.cpuCount {
      file += bytes(UInt64(first + cpu * pageSize)) + bytes(UInt64(pageSize))
    }
    file += bytes(UInt64(6)) + Array("[mono]".utf8)
    file.appendZeros(first - file.count)
    for cpu in 0..<recording.cpuCount { file += page(recording, cpu, pageSize) }
    return file
  }

  private static func page(_ recording: TraceRecording, _ cpu: Int, _ pageSize: Int) -> [UInt8] {
    var events: [UInt8] = []
    let records = recording.records().filter { $0.cpu == cpu }
    let start = records.first?.timestamp ?? 0
    var last = start
    for record in records {
      let payload = payload(Array(record.payload), recording.format(of: record)!)
      let delta = UInt32(record.timestamp - last)
      last = record.timestamp
      if payload.count <= 112 {
        events += bytes(UInt32(payload.count / 4) << 27 | delta)
      } else {
        events += bytes(delta) + bytes(UInt32(payload.count + 4))
      }
      events += payload
    }
    var page = bytes(start) + bytes(UInt64(events.count)) + events
    page.appendZeros(pageSize - page.count)
    return page
  }
}

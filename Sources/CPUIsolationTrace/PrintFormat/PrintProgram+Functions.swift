// SPDX-License-Identifier: Apache-2.0

/// What the kernel's functions in `print fmt:` lines print.
extension PrintProgram {
  /// `__print_flags`: names of the bits that are set, in the order of the list.
  func appendFlags(_ value: UInt64, _ names: PrintNames, to line: inout [UInt8]) {
    var rest = value
    var isFirst = true
    for entry in names.entries {
      if style == .traceCmd {
        // Of trace-cmd the flag that is no bit stands for no flag at all.
        if value == 0, Int64(bitPattern: entry.value) < 0 {
          line.append(texts, Int(entry.start)..<Int(entry.start &+ entry.count))
          return
        }
        if Int64(bitPattern: entry.value) <= 0 { continue }
      }
      if rest == 0 { break }
      guard rest & entry.value == entry.value else { continue }
      if !isFirst { line.append(texts, names.separator) }
      isFirst = false
      rest &= ~entry.value
      line.append(texts, Int(entry.start)..<Int(entry.start &+ entry.count))
    }
    if rest != 0 {
      if !isFirst { line.append(texts, names.separator) }
      line.append("0x")
      line.appendHexadecimal(rest)
    }
  }

  /// `__print_symbolic`: the first name of a value, or the value.
  func appendSymbol(_ value: UInt64, _ names: PrintNames, to line: inout [UInt8]) {
    for entry in names.entries where entry.value == value {
      line.append(texts, Int(entry.start)..<Int(entry.start &+ entry.count))
      return
    }
    line.append("0x")
    line.appendHexadecimal(value)
  }

  /// `__print_hex`, and `__print_hex_str` without blanks.
  func appendBytes(
    _ record: RawSpan, _ place: Int, _ count: UInt64, isJoined: Bool, to line: inout [UInt8]
  ) {
    for index in 0..<record.available(at: place, count, of: 1) {
      if index > 0, !isJoined { line.append(UInt8(ascii: " ")) }
      line.appendByte(record.byte(at: place &+ index))
    }
  }

  /// `__print_array`: `{0x1,0x2}`.
  func appendNumbers(
    _ record: RawSpan, _ place: Int, _ count: UInt64, _ size: UInt64, to line: inout [UInt8]
  ) {
    let size = [1, 2, 4, 8].contains(size) ? Int(size) : 1
    line.append(UInt8(ascii: "{"))
    for index in 0..<record.available(at: place, count, of: size) {
      line.append(index > 0 ? ",0x" : "0x")
      line.appendHexadecimal(
        record.number(at: place &+ index &* size, PrintWidth(size: size, isSigned: false)))
    }
    line.append(UInt8(ascii: "}"))
  }

  /// `__print_hex_dump`: rows of bytes on lines of their own. The arguments are the kind of prefix,
  /// the length of a row, the size of a group, the place, the length, and whether letters follow.
  func appendDump(
    _ record: RawSpan, _ arguments: [UInt64], prefix: [UInt8], _ range: Range<Int>,
    to line: inout [UInt8]
  ) {
    let row = arguments[1] == 32 ? 32 : 16
    let group = [1, 2, 4, 8].contains(arguments[2]) ? Int(arguments[2]) : 1
    let place = Int(truncatingIfNeeded: arguments[3])
    let count = record.available(at: place, arguments[4], of: 1)
    line.append(UInt8(ascii: "\n"))
    for start in stride(from: 0, to: count, by: row) {
      line.append(prefix, range)
      if arguments[0] == 2 {
        line.appendHexadecimal(UInt64(start), digits: 8)
        line.append(": ")
      }
      let rowStart = line.count
      let length = min(row, count - start)
      // A row that ends within a group is printed byte by byte.
      let size = length % group == 0 ? group : 1
      for index in stride(from: 0, to: length, by: size) {
        if index > 0 { line.append(UInt8(ascii: " ")) }
        line.appendHexadecimal(
          record.number(at: place &+ start &+ index, PrintWidth(size: size, isSigned: false)),
          digits: size * 2)
      }
      if arguments[5] != 0 {
        let column = row * 2 + row / size + 1
        line.appendBlanks(column - (line.count - rowStart))
        for index in 0..<length {
          let byte = record.byte(at: place &+ start &+ index)
          line.append((0x20...0x7e).contains(byte) ? byte : UInt8(ascii: "."))
        }
      }
      line.append(UInt8(ascii: "\n"))
    }
  }
}

extension RawSpan {
  /// How many of `count` elements lie within the record.
  fileprivate func available(at place: Int, _ count: UInt64, of size: Int) -> Int {
    guard place >= 0, place <= byteCount else { return 0 }
    return Swift.min(Int(clamping: count), (byteCount - place) / size)
  }
}

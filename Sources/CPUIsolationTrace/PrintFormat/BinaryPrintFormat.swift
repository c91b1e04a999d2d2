// SPDX-License-Identifier: Apache-2.0

/// The text of a `trace_printk`, whose arguments stand in the record as the kernel's `vbin_printf`
/// put them there.
struct BinaryPrintFormat: Sendable {
  private enum Piece: Sendable {
    case text(Range<Int>)
    case conversion(PrintSpecification)
  }

  private let text: [UInt8]
  private var pieces: [Piece] = []
  private let longSize: Int
  /// The order of the bytes of arguments, which the recorder put where only the text says.
  private let order: TraceByteOrder

  init(_ text: [UInt8], longSize: Int, order: TraceByteOrder = .little) {
    self.text = text
    self.longSize = longSize
    self.order = order
    var rest = text[...]
    var start = 0
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else { continue }
      let position = rest.startIndex - 1
      if position > start { pieces.append(.text(start..<position)) }
      if rest.first == UInt8(ascii: "%") {
        start = rest.startIndex
        rest.removeFirst()
        continue
      }
      pieces.append(.conversion(PrintSpecification(&rest, longSize: longSize)))
      start = rest.startIndex
    }
    if start < text.count { pieces.append(.text(start..<text.count)) }
  }

  /// Prints it with the arguments from `start` on. Arguments that are missing are zeros.
  func append(
    _ record: RawSpan, from start: Int, _ environment: inout PrintEnvironment,
    style: TraceTextReport.Style, to line: inout [UInt8]
  ) {
    var arguments = Arguments(from: start, order)
    for piece in pieces {
      switch piece {
      case .text(let range): line.append(text, range)
      case .conversion(var specification):
        if specification.takesWidth { specification.setWidth(arguments.number(record, 4)) }
        if specification.takesPrecision { specification.setPrecision(arguments.number(record, 4)) }
        let start = line.count
        switch specification.kind {
        case .unknown(let letter):
          line.append(UInt8(ascii: "%"))
          line.append(letter)
        case .text:
          line.append(record, arguments.text(record))
          specification.finish(from: start, in: &line)
        case .character:
          line.append(UInt8(truncatingIfNeeded: arguments.number(record, 1)))
          line.finishField(
            from: start, width: specification.width, precision: nil, isLeft: specification.isLeft)
        case .pointer(.memory):
          // The recorder printed it: its memory was at hand only then.
          line.append(record, arguments.text(record))
        case .pointer(.function(_, isReturn: true)):
          line.append(record, arguments.text(record))
        case .pointer(.function(let showsOffset, isReturn: false)):
          environment.appendFunction(
            arguments.number(record, longSize), showsOffset: showsOffset,
            showsModule: style == .kernel,
            to: &line)
          specification.finish(from: start, in: &line)
        case .pointer(.address):
          let address = arguments.number(record, longSize)
          if style == .traceCmd { line.append("0x") }
          line.appendHexadecimal(address, digits: style == .kernel ? longSize * 2 : 0)
          specification.finish(from: start, in: &line)
        default:
          specification.appendNumber(arguments.number(record, specification.size), to: &line)
        }
      }
    }
  }

  /// Where the next argument stands.
  private struct Arguments {
    let start: Int
    let order: TraceByteOrder
    var position: Int

    init(from start: Int, _ order: TraceByteOrder) {
      self.start = start
      self.order = order
      position = start
    }

    /// Numbers begin at multiples of their size, those of 8 bytes at multiples of 4.
    mutating func number(_ record: RawSpan, _ size: Int) -> UInt64 {
      let step = min(size, 4)
      position = start + (position - start + step - 1) / step * step
      let value = record.number(at: position, PrintWidth(size: size, isSigned: false))
      position += size
      return order == .little ? value : value.byteSwapped >> UInt64(64 - 8 * size)
    }

    mutating func text(_ record: RawSpan) -> Range<Int> {
      let range = record.text(from: position, to: record.byteCount)
      position = max(position, range.upperBound) + 1
      return range
    }
  }
}

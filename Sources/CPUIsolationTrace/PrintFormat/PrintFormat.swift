// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// How the events of one format are printed: their `print fmt:` line, taken apart once.
///
/// - Source: `trace-cmd report` (trace-cmd 3.1.6 with libtraceevent 1.7.1), whose output this
///   reproduces.
struct PrintFormat: Sendable {
  enum Piece: Sendable {
    case text([UInt8])
    case conversion(PrintConversion, PrintExpression, length: PrintExpression?)
  }

  private var pieces: [Piece] = []

  init(_ format: TraceEventFormat) throws(PrintFormatError) {
    var parser = try PrintParser(format)
    let (text, arguments) = try parser.parse()
    var rest = Array(text.utf8)[...]
    var next = 0

    func argument() throws(PrintFormatError) -> PrintExpression {
      guard next < arguments.count else { throw PrintFormatError(reason: "an argument is missing") }
      next += 1
      return arguments[next - 1]
    }

    var plain: [UInt8] = []
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\") {
        if let escaped = rest.popFirst() { plain.append(Self.unescaped(escaped)) }
      } else if byte != UInt8(ascii: "%") {
        plain.append(byte)
      } else if rest.first == UInt8(ascii: "%") {
        plain.append(byte)
        rest.removeFirst()
      } else {
        if !plain.isEmpty { pieces.append(.text(plain)) }
        plain = []
        let conversion = PrintConversion(&rest)
        if case .unknown(let letter) = conversion.kind {
          plain += [UInt8(ascii: ">"), letter, UInt8(ascii: "<")]
          continue
        }
        let length = conversion.takesLength ? try argument() : nil
        pieces.append(.conversion(conversion, try argument(), length: length))
      }
    }
    if !plain.isEmpty { pieces.append(.text(plain)) }
  }

  func append(to line: inout [UInt8], _ context: PrintContext) {
    for piece in pieces { append(piece, to: &line, context) }
  }

  private func append(_ piece: Piece, to line: inout [UInt8], _ context: PrintContext) {
    switch piece {
    case .text(let text): line += text
    case .conversion(var conversion, let expression, let length):
      if let length {
        conversion.setLength(Int(Int32(truncatingIfNeeded: context.number(length))))
      }
      conversion.append(expression, to: &line, context)
    }
  }

  /// Prints one field as the line prints it; false if the line has not that field by itself.
  func append(field name: String, to line: inout [UInt8], _ context: PrintContext) -> Bool {
    for (index, piece) in pieces.enumerated() {
      guard case .conversion(_, let expression, nil) = piece, expression.shownField?.name == name
      else { continue }
      if index > 0, case .text(let before) = pieces[index - 1],
        before.suffix(2) == Array("0x".utf8)[...]
      {
        line += "0x".utf8
      }
      append(piece, to: &line, context)
      return true
    }
    return false
  }

  private static func unescaped(_ letter: UInt8) -> UInt8 {
    switch letter {
    case UInt8(ascii: "n"): UInt8(ascii: "\n")
    case UInt8(ascii: "t"): UInt8(ascii: "\t")
    case UInt8(ascii: "r"): UInt8(ascii: "\r")
    default: letter
    }
  }
}

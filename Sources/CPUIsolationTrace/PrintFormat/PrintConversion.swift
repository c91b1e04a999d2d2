// SPDX-License-Identifier: Apache-2.0

/// A conversion of C's `printf`, with the kernel's pointers.
struct PrintConversion: Sendable {
  enum Kind: Sendable {
    case number(UInt8)
    case text
    /// The letter behind `%p`, 0 if there is none that means something.
    case pointer(UInt8)
    case unknown(UInt8)
  }

  private(set) var kind: Kind = .unknown(0)
  private(set) var takesLength = false
  private var isLeft = false
  private var showsPlus = false
  private var showsBlank = false
  private var showsBase = false
  private var fillsWithZeros = false
  private var width = 0
  private var precision: Int?
  private var longs = 0

  /// A width beyond this is damage, not design.
  private static let maximumWidth = 4096

  /// Takes a conversion's letters from behind its `%`.
  init(_ rest: inout ArraySlice<UInt8>) {
    while let letter = rest.popFirst() {
      switch letter {
      case UInt8(ascii: "-"): isLeft = true
      case UInt8(ascii: "+"): showsPlus = true
      case UInt8(ascii: " "): showsBlank = true
      case UInt8(ascii: "#"): showsBase = true
      case UInt8(ascii: "."): precision = 0
      case UInt8(ascii: "*"): takesLength = true
      case UInt8(ascii: "h"): longs -= 1
      case UInt8(ascii: "l"): longs += 1
      case UInt8(ascii: "L"): longs = 2
      case UInt8(ascii: "z"), UInt8(ascii: "Z"): longs = 1
      case UInt8(ascii: "0") where width == 0 && precision == nil: fillsWithZeros = true
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let digit = Int(letter - UInt8(ascii: "0"))
        if let precision {
          self.precision = min(precision * 10 + digit, Self.maximumWidth)
        } else {
          width = min(width * 10 + digit, Self.maximumWidth)
        }
      case UInt8(ascii: "c"), UInt8(ascii: "d"), UInt8(ascii: "i"), UInt8(ascii: "u"),
        UInt8(ascii: "x"), UInt8(ascii: "X"), UInt8(ascii: "o"):
        kind = .number(letter)
        return
      case UInt8(ascii: "s"):
        kind = .text
        return
      case UInt8(ascii: "p"):
        kind = .pointer(0)
        if let next = rest.first, "FfSsb".utf8.contains(next) {
          kind = .pointer(next)
          rest.removeFirst()
          if next == UInt8(ascii: "b"), rest.first == UInt8(ascii: "l") { rest.removeFirst() }
        }
        return
      default:
        kind = .unknown(letter)
        return
      }
    }
  }

  /// What a `*` stands for.
  mutating func setLength(_ length: Int) {
    if precision != nil {
      precision = length < 0 ? nil : min(length, Self.maximumWidth)
    } else {
      isLeft = isLeft || length < 0
      width = Int(min(length.magnitude, UInt(Self.maximumWidth)))
    }
  }

  func append(_ expression: PrintExpression, to line: inout [UInt8], _ context: PrintContext) {
    switch kind {
    case .text:
      context.append(expression, to: &line) { text, line in
        pad(precision.map { text.prefix($0) } ?? text, to: &line)
      }
    case .pointer(UInt8(ascii: "b")):
      context.append(expression, to: &line) { text, line in line += text }
    case .pointer(let letter): appendPointer(letter, context.number(expression), &line, context)
    case .number(let letter): appendNumber(letter, context.number(expression), to: &line)
    case .unknown: break
    }
  }

  private func appendPointer(
    _ letter: UInt8, _ value: UInt64, _ line: inout [UInt8], _ context: PrintContext
  ) {
    if letter == 0 {
      line += (value == 0 ? "(nil)" : "0x" + String(value, radix: 16)).utf8
    } else if let symbol = context.symbols.symbol(at: value) {
      line += symbol.name.utf8
      if letter == UInt8(ascii: "S") || letter == UInt8(ascii: "F") {
        line += "+0x\(String(symbol.offset, radix: 16))".utf8
      }
    } else {
      line += "0x\(String(value, radix: 16))".utf8
    }
  }

  private func appendNumber(_ letter: UInt8, _ value: UInt64, to line: inout [UInt8]) {
    let bits = longs <= -2 ? 8 : longs == -1 ? 16 : longs == 0 ? 32 : 64
    let cut = bits == 64 ? value : value & (UInt64(1) << bits - 1)
    if letter == UInt8(ascii: "c") {
      pad([UInt8(truncatingIfNeeded: value)], to: &line)
      return
    }
    var sign = ""
    var magnitude = cut
    var radix = 10
    switch letter {
    case UInt8(ascii: "d"), UInt8(ascii: "i"):
      let shift = 64 - bits
      let signed = Int64(bitPattern: cut << shift) >> shift
      magnitude = signed.magnitude
      sign = signed < 0 ? "-" : showsPlus ? "+" : showsBlank ? " " : ""
    case UInt8(ascii: "x"), UInt8(ascii: "X"): radix = 16
    case UInt8(ascii: "o"): radix = 8
    default: break
    }
    let isUpper = letter == UInt8(ascii: "X")
    var digits = String(magnitude, radix: radix, uppercase: isUpper)
    if precision == 0, magnitude == 0 { digits = "" }
    if let precision {
      digits = String(repeating: "0", count: max(0, precision - digits.utf8.count)) + digits
    }
    if showsBase, magnitude != 0, radix == 16 { sign += isUpper ? "0X" : "0x" }
    if showsBase, radix == 8, !digits.hasPrefix("0") { digits = "0" + digits }
    if fillsWithZeros, !isLeft, precision == nil {
      let missing = width - digits.utf8.count - sign.utf8.count
      digits = String(repeating: "0", count: max(0, missing)) + digits
    }
    pad(Array((sign + digits).utf8)[...], to: &line)
  }

  private func pad(_ text: ArraySlice<UInt8>, to line: inout [UInt8]) {
    let blanks = repeatElement(UInt8(ascii: " "), count: max(0, width - text.count))
    if !isLeft { line += blanks }
    line += text
    if isLeft { line += blanks }
  }
}

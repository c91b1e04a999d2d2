// SPDX-License-Identifier: Apache-2.0

/// A conversion of the kernel's `printf`: what stands between a `%` and its argument.
struct PrintSpecification: Sendable {
  enum Kind: Sendable, Equatable {
    case signed, unsigned, hexadecimal, upperHexadecimal, octal, character, text
    case pointer(PrintPointer)
    case unknown(UInt8)
  }

  var kind = Kind.unknown(0)
  /// How many bytes of the argument count.
  var size = 4
  var width = 0
  var precision: Int?
  /// Whether the width, and the precision, are arguments before the value.
  var takesWidth = false
  var takesPrecision = false
  var isLeft = false
  var showsPlus = false
  var showsBlank = false
  var showsBase = false
  var fillsWithZeros = false

  static let text: PrintSpecification = {
    var result = PrintSpecification()
    result.kind = .text
    return result
  }()

  /// A width beyond this is damage, not design.
  private static let maximumWidth = 4096

  /// Takes a conversion's letters from after its `%`.
  init(_ rest: inout ArraySlice<UInt8>, longSize: Int) {
    size = 4
    while let letter = rest.popFirst() {
      switch letter {
      case UInt8(ascii: "-"): isLeft = true
      case UInt8(ascii: "+"): showsPlus = true
      case UInt8(ascii: " "): showsBlank = true
      case UInt8(ascii: "#"): showsBase = true
      case UInt8(ascii: "."): precision = 0
      case UInt8(ascii: "*"):
        if precision == nil { takesWidth = true } else { takesPrecision = true }
      case UInt8(ascii: "h"): size = size == 2 ? 1 : 2
      case UInt8(ascii: "l"): size = size == longSize && hasLong ? 8 : longSize; hasLong = true
      case UInt8(ascii: "L"), UInt8(ascii: "q"), UInt8(ascii: "j"): size = 8
      case UInt8(ascii: "z"), UInt8(ascii: "Z"), UInt8(ascii: "t"): size = longSize
      case UInt8(ascii: "0") where width == 0 && precision == nil: fillsWithZeros = true
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let digit = Int(letter - UInt8(ascii: "0"))
        if let precision {
          self.precision = min(precision * 10 + digit, Self.maximumWidth)
        } else {
          width = min(width * 10 + digit, Self.maximumWidth)
        }
      case UInt8(ascii: "p"):
        let letters = rest.prefix(while: \.isLetterOrDigit)
        rest = rest.dropFirst(letters.count)
        kind = .pointer(PrintPointer(letters))
        size = longSize
        return
      default:
        kind = Self.kinds[letter] ?? .unknown(letter)
        return
      }
    }
  }

  private init() {}

  private var hasLong = false

  private static let kinds: [UInt8: Kind] = [
    UInt8(ascii: "d"): .signed, UInt8(ascii: "i"): .signed, UInt8(ascii: "u"): .unsigned,
    UInt8(ascii: "x"): .hexadecimal, UInt8(ascii: "X"): .upperHexadecimal,
    UInt8(ascii: "o"): .octal, UInt8(ascii: "c"): .character, UInt8(ascii: "s"): .text,
  ]

  /// What a `*` before the point stands for.
  @inline(__always)
  mutating func setWidth(_ value: UInt64) {
    let length = Int(Int32(truncatingIfNeeded: value))
    isLeft = isLeft || length < 0
    width = Int(min(length.magnitude, UInt(Self.maximumWidth)))
  }

  /// What a `*` after the point stands for.
  @inline(__always)
  mutating func setPrecision(_ value: UInt64) {
    let length = Int(Int32(truncatingIfNeeded: value))
    precision = length < 0 ? nil : min(length, Self.maximumWidth)
  }

  /// Whether a number is its digits and nothing else.
  var isPlain: Bool {
    width == 0 && precision == nil && !showsPlus && !showsBlank && !showsBase
      && !takesWidth && !takesPrecision
  }
}

extension UInt8 {
  var isLetterOrDigit: Bool {
    switch self | 0x20 {
    case UInt8(ascii: "a")...UInt8(ascii: "z"): true
    default: (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
    }
  }
}

extension PrintSpecification {
  /// Prints a number as the kernel's `vsnprintf` does: `%#x` of 0 is `0x0`.
  func appendNumber(_ value: UInt64, to line: inout [UInt8]) {
    let cut = PrintWidth(size: size, isSigned: kind == .signed).narrowed(value)
    if isPlain, kind == .signed || kind == .unsigned {
      if kind == .signed {
        line.appendDecimal(Int64(bitPattern: cut))
      } else {
        line.appendDecimal(cut)
      }
      return
    }
    let start = line.count
    let isHexadecimal = kind == .hexadecimal || kind == .upperHexadecimal
    var magnitude = cut
    if kind == .signed {
      let number = Int64(bitPattern: cut)
      magnitude = UInt64(number.magnitude)
      if number < 0 {
        line.append(UInt8(ascii: "-"))
      } else if showsPlus || showsBlank {
        line.append(showsPlus ? UInt8(ascii: "+") : UInt8(ascii: " "))
      }
    }
    if showsBase, isHexadecimal {
      line.append(UInt8(ascii: "0"))
      line.append(kind == .hexadecimal ? UInt8(ascii: "x") : UInt8(ascii: "X"))
    } else if showsBase, kind == .octal, magnitude != 0 {
      line.append(UInt8(ascii: "0"))
    }
    let room = fillsWithZeros && !isLeft ? width - (line.count - start) : 0
    line.appendDigits(
      magnitude, radix: isHexadecimal ? 16 : kind == .octal ? 8 : 10,
      alpha: (kind == .upperHexadecimal ? UInt8(ascii: "A") : UInt8(ascii: "a")) - 10,
      width: max(room, precision ?? 0), filler: UInt8(ascii: "0"))
    line.finishField(from: start, width: width, precision: nil, isLeft: isLeft)
  }

  @inline(__always)
  func finish(from start: Int, in line: inout [UInt8]) {
    line.finishField(from: start, width: width, precision: precision, isLeft: isLeft)
  }
}

// SPDX-License-Identifier: Apache-2.0

/// What the letters after `%p` ask for.
enum PrintPointer: Sendable, Equatable {
  /// The address itself.
  case address
  /// The function at an address, as `%ps`, `%pS` and `%pB` print it.
  case function(showsOffset: Bool, isReturn: Bool)
  /// What the address leads to.
  case memory(Memory)

  enum Memory: Sendable, Equatable {
    case internet4(order: UInt8, hasDots: Bool)
    case internet6(isCompressed: Bool, hasColons: Bool)
    case socket(SocketParts)
    case hardware(separator: UInt8, isReversed: Bool)
    case identifier(isLittleEndian: Bool, alpha: UInt8)
    case bytes(separator: UInt8)
    case bits(isList: Bool)
    case escaped
    case number(size: Int)
  }

  /// The parts of a socket's address that are printed besides the address.
  struct SocketParts: OptionSet, Sendable {
    var rawValue: UInt8
    static let port = Self(rawValue: 1)
    static let flow = Self(rawValue: 2)
    static let scope = Self(rawValue: 4)
    static let compressed = Self(rawValue: 8)
  }

  init(_ letters: ArraySlice<UInt8>) {
    let rest = letters.dropFirst()
    let next = rest.first ?? 0
    switch letters.first {
    case UInt8(ascii: "S"), UInt8(ascii: "F"): self = .function(showsOffset: true, isReturn: false)
    case UInt8(ascii: "s"), UInt8(ascii: "f"):
      // `%pfw` is a firmware node, whose memory is not in the record.
      self = next == UInt8(ascii: "w") ? .address : .function(showsOffset: false, isReturn: false)
    case UInt8(ascii: "B"): self = .function(showsOffset: true, isReturn: true)
    case UInt8(ascii: "I"), UInt8(ascii: "i"):
      self = Self.internet(rest, hasDots: letters.first == UInt8(ascii: "I"))
    case UInt8(ascii: "M"), UInt8(ascii: "m"):
      let colon = next == UInt8(ascii: "F") ? UInt8(ascii: "-") : UInt8(ascii: ":")
      self = .memory(
        .hardware(
          separator: letters.first == UInt8(ascii: "m") ? 0 : colon,
          isReversed: next == UInt8(ascii: "R")))
    case UInt8(ascii: "U"):
      let isUpper = "BL".utf8.contains(next)
      self = .memory(
        .identifier(
          isLittleEndian: "lL".utf8.contains(next),
          alpha: (isUpper ? UInt8(ascii: "A") : UInt8(ascii: "a")) - 10))
    case UInt8(ascii: "h"):
      let separators: [UInt8: UInt8] = [
        UInt8(ascii: "C"): UInt8(ascii: ":"), UInt8(ascii: "D"): UInt8(ascii: "-"),
        UInt8(ascii: "N"): 0,
      ]
      self = .memory(.bytes(separator: separators[next] ?? UInt8(ascii: " ")))
    case UInt8(ascii: "b"): self = .memory(.bits(isList: next == UInt8(ascii: "l")))
    case UInt8(ascii: "E"): self = .memory(.escaped)
    case UInt8(ascii: "a"), UInt8(ascii: "N"): self = .memory(.number(size: 8))
    default: self = .address
    }
  }

  private static func internet(_ letters: ArraySlice<UInt8>, hasDots: Bool) -> PrintPointer {
    let options = letters.dropFirst()
    let order = options.first ?? 0
    switch letters.first {
    case UInt8(ascii: "4"): return .memory(.internet4(order: order, hasDots: hasDots))
    case UInt8(ascii: "6"):
      return .memory(
        .internet6(isCompressed: hasDots && order == UInt8(ascii: "c"), hasColons: hasDots))
    case UInt8(ascii: "S"):
      var parts: SocketParts = []
      if options.contains(UInt8(ascii: "p")) { parts.insert(.port) }
      if options.contains(UInt8(ascii: "f")) { parts.insert(.flow) }
      if options.contains(UInt8(ascii: "s")) { parts.insert(.scope) }
      if options.contains(UInt8(ascii: "c")) { parts.insert(.compressed) }
      return .memory(.socket(parts))
    default: return .address
    }
  }
}

extension PrintPointer.Memory {
  /// Prints what lies at a place of the record. `width` is the number of bytes or bits where the
  /// conversion takes one; false if it is a width of the field.
  func append(
    _ record: RawSpan, at place: Int, width: Int, to line: inout [UInt8]
  ) -> Bool {
    switch self {
    case .internet4(let order, let hasDots):
      line.appendInternet4(
        record, at: place, isReversed: order == UInt8(ascii: "l") || order == UInt8(ascii: "h"),
        hasZeros: !hasDots)
    case .internet6(let isCompressed, let hasColons):
      line.appendInternet6(record, at: place, isCompressed: isCompressed, hasColons: hasColons)
    case .socket(let parts): line.appendSocket(record, at: place, parts)
    case .hardware(let separator, let isReversed):
      for index in 0..<6 {
        if index > 0, separator != 0 { line.append(separator) }
        line.appendByte(record.byte(at: place + (isReversed ? 5 - index : index)))
      }
    case .identifier(let isLittleEndian, let alpha):
      for index in 0..<16 {
        if [4, 6, 8, 10].contains(index) { line.append(UInt8(ascii: "-")) }
        let source = isLittleEndian && index < 8 ? (index < 4 ? 3 - index : index ^ 1) : index
        line.appendByte(record.byte(at: place + source), alpha: alpha)
      }
    case .bytes(let separator):
      let count = width == 0 ? 1 : min(width, 64)
      for index in 0..<count {
        if index > 0, separator != 0 { line.append(separator) }
        line.appendByte(record.byte(at: place + index))
      }
      return true
    case .bits(let isList):
      line.appendBits(record, at: place, count: width, isList: isList)
      return true
    case .escaped:
      for index in 0..<max(width, 1) { line.appendEscaped(record.byte(at: place + index)) }
      return true
    case .number(let size):
      line.append("0x")
      line.appendHexadecimal(
        record.number(at: place, PrintWidth(size: size, isSigned: false)), digits: size * 2)
    }
    return false
  }
}

// SPDX-License-Identifier: Apache-2.0

extension String {
  /// For text and for attributes in double quotes.
  var htmlEscaped: String {
    var result = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case _ where scalar.value < 0x20: result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension UInt64 {
  /// Nanoseconds in the unit that reads best, with three digits.
  var durationText: String {
    let units: [(UInt64, String)] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")]
    guard let (unit, name) = units.first(where: { self >= $0.0 }) else { return "\(self) ns" }
    let whole = self / unit
    let digits = whole >= 100 ? 0 : whole >= 10 ? 1 : 2
    guard digits > 0 else { return "\(whole) \(name)" }
    let fraction = String(String(self % unit + unit).dropFirst().prefix(digits))
    return "\(whole).\(fraction) \(name)"
  }
}

extension BinaryInteger {
  /// With a comma between thousands.
  var grouped: String {
    let digits = String(magnitude)
    var text = self < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }
}

extension Sequence<Int> {
  /// As a list of CPUs is written: `0,2-5`.
  var cpuList: String {
    var ranges: [ClosedRange<Int>] = []
    for cpu in sorted() {
      if let last = ranges.last, last.upperBound + 1 == cpu {
        ranges[ranges.count - 1] = last.lowerBound...cpu
      } else {
        ranges.append(cpu...cpu)
      }
    }
    return ranges.map {
      $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
    }.joined(separator: ",")
  }
}

extension [UInt8] {
  /// For text and attributes: four letters for three bytes.
  var base64: String {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    text.reserveCapacity((count + 2) / 3 * 4)
    for start in stride(from: 0, to: count, by: 3) {
      let bytes = (0..<3).map { start + $0 < count ? UInt32(self[start + $0]) : 0 }
      let word = bytes[0] << 16 | bytes[1] << 8 | bytes[2]
      for place in 0..<4 {
        let isThere = start + place <= count
        text.append(isThere ? letters[Int(word >> (18 - 6 * place)) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Seven bits a byte, the lowest first.
  mutating func appendVarint(_ value: UInt64) {
    var rest = value
    while rest > 0x7f {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(rest))
  }
}

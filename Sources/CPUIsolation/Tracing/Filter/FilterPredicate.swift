// SPDX-License-Identifier: Apache-2.0

/// One comparison of a filter, as it was read.
struct FilterPredicate: Equatable, CustomStringConvertible {
  enum Comparison: String, CaseIterable {
    // In the order in which they are tried: what begins another one comes after it.
    case matches = "~"
    case notEqual = "!="
    case equal = "=="
    case lessOrEqual = "<="
    case less = "<"
    case greaterOrEqual = ">="
    case greater = ">"
    case and = "&"
  }

  enum Operand: Equatable {
    /// Sign-extended to 64 bits.
    case number(UInt64)
    case text([UInt8])
    case cpus(CPUMask)
    /// Written as a name or as an address.
    case function(String, Range<UInt64>)
  }

  var field: FilterField
  var comparison: Comparison
  var operand: Operand

  /// The predicate as a filter can have it.
  var description: String {
    let name = field.name
    switch operand {
    case .number(let bits):
      let number = field.isSigned ? "\(Int64(bitPattern: bits))" : "\(bits)"
      return "\(name) \(comparison.rawValue) \(number)"
    case .text(let bytes):
      // A quoted text has no quote of its own kind in it.
      let quote = bytes.contains(UInt8(ascii: "\"")) ? "'" : "\""
      let text = String(decoding: bytes, as: UTF8.self)
      return "\(name) \(comparison.rawValue) \(quote)\(text)\(quote)"
    case .cpus(let mask):
      // The empty list is an error in braces, a blank one is the empty mask.
      return "\(name) \(comparison.rawValue) CPUS{\(mask.isEmpty ? " " : mask.description)}"
    case .function(let symbol, _):
      return "\(name).function \(comparison.rawValue) \(symbol)"
    }
  }
}

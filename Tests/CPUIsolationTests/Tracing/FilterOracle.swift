// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolation

/// A filter as a tree, with its text and the answer that the tree gives to a record: by another way
/// than the program's, over values instead of bytes.
indirect enum FilterOracle {
  case number(Sample.Number, FilterPredicate.Comparison, Int64)
  case cpus(Sample.Number, FilterPredicate.Comparison, CPUMask)
  case mask(FilterPredicate.Comparison, CPUMask)
  case text(Sample.Text, FilterPredicate.Comparison, String)
  case not(FilterOracle)
  case and([FilterOracle])
  case or([FilterOracle])

  /// What a record of ``event`` says.
  struct Sample {
    enum Number: String, CaseIterable {
      case byte, small, signedByte, signedSmall, target, signedTarget, address, difference
      case cpu = "CPU"

      var bits: Int {
        switch self {
        case .byte, .signedByte: 8
        case .small, .signedSmall: 16
        case .target, .signedTarget, .cpu: 32
        case .address, .difference: 64
        }
      }

      var isSigned: Bool {
        switch self {
        case .signedByte, .signedSmall, .signedTarget, .difference, .cpu: true
        default: false
        }
      }
    }

    enum Text: String, CaseIterable {
      case name, path, near
      case comm = "COMM"
    }

    var numbers: [Number: Int64] = [:]
    var texts: [Text: String] = [:]
    var mask = CPUMask()
  }

  static let nameBytes = 6

  static let event = TraceEventFormat(
    system: "test", name: "sample", id: 9,
    fields: TraceEventFormat.commonFields + [
      field("u8", "byte", 8, 1), field("s8", "signedByte", 9, 1, signed: true),
      field("u16", "small", 10, 2), field("short", "signedSmall", 12, 2, signed: true),
      field("char[6]", "name", 14, nameBytes), field("u32", "target", 20, 4),
      field("int", "signedTarget", 24, 4, signed: true),
      field("__data_loc cpumask_t", "mask", 28, 4), field("unsigned long", "address", 32, 8),
      field("long", "difference", 40, 8, signed: true),
      field("__data_loc char[]", "path", 48, 4), field("__rel_loc char[]", "near", 52, 4),
    ], printFormat: "")

  private static func field(
    _ type: String, _ name: String, _ offset: Int, _ size: Int, signed: Bool = false
  ) -> TraceEventFormat.Field {
    TraceEventFormat.Field(name: name, type: type, offset: offset, size: size, isSigned: signed)
  }

  // MARK: - Text

  var description: String {
    switch self {
    case .number(let field, let comparison, let value):
      let number = field.isSigned ? "\(value)" : "\(UInt64(bitPattern: value))"
      return "\(field.rawValue) \(comparison.rawValue) \(number)"
    case .cpus(let field, let comparison, let mask):
      return
        "\(field.rawValue) \(comparison.rawValue) CPUS{\(mask.isEmpty ? "," : mask.description)}"
    case .mask(let comparison, let mask):
      return "mask\(comparison.rawValue)CPUS{\(mask.isEmpty ? " " : mask.description)}"
    case .text(let field, let comparison, let text):
      return "\(field.rawValue) \(comparison.rawValue) \"\(text)\""
    case .not(let operand): return "!(\(operand.description))"
    case .and(let operands):
      return operands.map { operand in
        if case .or = operand { "(\(operand.description))" } else { operand.description }
      }.joined(separator: " && ")
    case .or(let operands): return operands.map(\.description).joined(separator: " || ")
    }
  }

  // MARK: - Answer

  func matches(_ sample: Sample, cpuCount: Int) -> Bool {
    switch self {
    case .number(let field, let comparison, let value):
      return Self.compare(sample.numbers[field] ?? 0, comparison, value, field)
    case .cpus(let field, let comparison, let mask):
      return Self.compare(sample.numbers[field] ?? 0, comparison, mask, field, cpuCount)
    case .mask(let comparison, let mask):
      let present = sample.mask.intersection(CPUMask.all(cpuCount))
      switch comparison {
      case .equal: return present == mask
      case .notEqual: return present != mask
      default: return !present.isDisjoint(with: mask)
      }
    case .text(let field, let comparison, let pattern):
      let text = sample.texts[field] ?? ""
      switch comparison {
      case .equal: return text == pattern
      case .notEqual: return text != pattern
      default: return Self.glob(Array(text)[...], pattern)
      }
    case .not(let operand): return !operand.matches(sample, cpuCount: cpuCount)
    case .and(let operands): return operands.allSatisfy { $0.matches(sample, cpuCount: cpuCount) }
    case .or(let operands): return operands.contains { $0.matches(sample, cpuCount: cpuCount) }
    }
  }

  /// The number as the field can hold it.
  private static func fit(_ value: Int64, _ field: Sample.Number) -> Int64 {
    switch (field.bits, field.isSigned) {
    case (8, true): Int64(Int8(truncatingIfNeeded: value))
    case (8, false): Int64(UInt8(truncatingIfNeeded: value))
    case (16, true): Int64(Int16(truncatingIfNeeded: value))
    case (16, false): Int64(UInt16(truncatingIfNeeded: value))
    case (32, true): Int64(Int32(truncatingIfNeeded: value))
    case (32, false): Int64(UInt32(truncatingIfNeeded: value))
    default: value
    }
  }

  private static func compare(
    _ left: Int64, _ comparison: FilterPredicate.Comparison, _ right: Int64, _ field: Sample.Number
  ) -> Bool {
    let (left, right) = (fit(left, field), fit(right, field))
    let isLess =
      field.isSigned ? left < right : UInt64(bitPattern: left) < UInt64(bitPattern: right)
    switch comparison {
    case .equal: return left == right
    case .notEqual: return left != right
    case .less: return isLess
    case .lessOrEqual: return isLess || left == right
    case .greater: return !isLess && left != right
    case .greaterOrEqual: return !isLess
    case .and: return field != .cpu && left & right != 0
    case .matches: return false
    }
  }

  private static func compare(
    _ left: Int64, _ comparison: FilterPredicate.Comparison, _ mask: CPUMask,
    _ field: Sample.Number, _ cpuCount: Int
  ) -> Bool {
    if mask.count == 1, let cpu = mask.first {
      let isIt = fit(left, field) == Int64(cpu)
      return comparison == .notEqual ? !isIt : isIt
    }
    let number =
      field.bits == 8
      ? Int(UInt8(truncatingIfNeeded: left))
      : field.bits == 16
        ? Int(UInt16(truncatingIfNeeded: left))
        : Int(UInt32(truncatingIfNeeded: left))
    guard number < cpuCount else { return false }
    switch comparison {
    case .equal: return false
    case .notEqual: return true
    default: return mask.contains(number)
    }
  }

  /// Shell patterns the plain way: a star is nothing, or a character and a star.
  static func glob(_ text: ArraySlice<Character>, _ pattern: String) -> Bool {
    guard let first = pattern.first else { return text.isEmpty }
    let rest = String(pattern.dropFirst())
    switch first {
    case "*": return glob(text, rest) || !text.isEmpty && glob(text.dropFirst(), pattern)
    case "?": return !text.isEmpty && glob(text.dropFirst(), rest)
    default: return text.first == first && glob(text.dropFirst(), rest)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolation

extension FilterOracle {
  /// A random filter of at most so many levels.
  static func random(
    depth: Int, cpuCount: Int, using generator: inout some RandomNumberGenerator
  ) -> FilterOracle {
    func operands(_ generator: inout some RandomNumberGenerator) -> [FilterOracle] {
      (0..<Int.random(in: 2...4, using: &generator)).map { _ in
        random(depth: depth - 1, cpuCount: cpuCount, using: &generator)
      }
    }
    switch depth > 0 ? Int.random(in: 0..<9, using: &generator) : 9 {
    case 0...1: return .not(random(depth: depth - 1, cpuCount: cpuCount, using: &generator))
    case 2...4: return .and(operands(&generator))
    case 5...7: return .or(operands(&generator))
    default: return predicate(cpuCount: cpuCount, using: &generator)
    }
  }

  private static func predicate(
    cpuCount: Int, using generator: inout some RandomNumberGenerator
  ) -> FilterOracle {
    let field = Sample.Number.allCases.randomElement(using: &generator) ?? .byte
    let set: [FilterPredicate.Comparison] = [.equal, .notEqual, .and]
    let comparison = set.randomElement(using: &generator) ?? .equal
    switch Int.random(in: 0..<6, using: &generator) {
    case 0...2:
      let all = FilterPredicate.Comparison.allCases.filter { $0 != .matches }
      return .number(
        field, all.randomElement(using: &generator) ?? .equal, number(using: &generator))
    case 3:
      return .cpus(field, comparison, mask(below: cpuCount, using: &generator))
    case 4: return .mask(comparison, mask(below: cpuCount, using: &generator))
    default:
      let texts: [FilterPredicate.Comparison] = [.equal, .notEqual, .matches]
      return .text(
        Sample.Text.allCases.randomElement(using: &generator) ?? .name,
        texts.randomElement(using: &generator) ?? .equal, pattern(using: &generator))
    }
  }

  /// Numbers near the borders of every width, and near each other.
  private static func number(using generator: inout some RandomNumberGenerator) -> Int64 {
    let borders: [Int64] = [
      0, 1, 3, 127, 128, 255, 256, 32767, 65535, 65536, 2_147_483_647, 4_294_967_295, .max, .min,
      -1, -128, -32768, -2_147_483_648,
    ]
    return (borders.randomElement(using: &generator) ?? 0) &+ .random(in: -1...1, using: &generator)
  }

  private static func mask(
    below cpuCount: Int, using generator: inout some RandomNumberGenerator
  ) -> CPUMask {
    CPUMask(
      (0..<Int.random(in: 0...3, using: &generator)).map { _ in
        Int.random(in: 0..<cpuCount, using: &generator)
      })
  }

  private static func letters(
    _ letters: String, atMost limit: Int, using generator: inout some RandomNumberGenerator
  ) -> String {
    String(
      (0..<Int.random(in: 0...limit, using: &generator)).map { _ in
        letters.randomElement(using: &generator) ?? "a"
      })
  }

  private static func pattern(using generator: inout some RandomNumberGenerator) -> String {
    letters("ab", atMost: 2, using: &generator) + letters("ab*?", atMost: 3, using: &generator)
  }

  /// A random record, as values and as bytes.
  static func sample(
    maskWords: Int, using generator: inout some RandomNumberGenerator
  ) -> (Sample, RecordBytes) {
    var sample = Sample()
    var record = RecordBytes(size: 56)
    for field in Sample.Number.allCases {
      let value = number(using: &generator)
      sample.numbers[field] = value
      guard let place = event.field(named: field.rawValue)?.offset else { continue }
      switch field.bits {
      case 8: record.set(UInt8(truncatingIfNeeded: value), at: place)
      case 16: record.set(UInt16(truncatingIfNeeded: value), at: place)
      case 32: record.set(UInt32(truncatingIfNeeded: value), at: place)
      default: record.set(value, at: place)
      }
    }
    for text in Sample.Text.allCases {
      sample.texts[text] = letters("ab", atMost: nameBytes - 1, using: &generator)
    }
    record.set(sample.texts[.name] ?? "", at: 14)
    record.append(Array((sample.texts[.path] ?? "").utf8) + [0], locatedAt: 48)
    record.append(
      Array((sample.texts[.near] ?? "").utf8) + [0], locatedAt: 52, relativeTo: 56)
    sample.mask = mask(below: 64 * maskWords, using: &generator)
    record.append(sample.mask, words: maskWords, locatedAt: 28)
    return (sample, record)
  }
}

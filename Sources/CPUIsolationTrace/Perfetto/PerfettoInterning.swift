// SPDX-License-Identifier: Apache-2.0

/// Texts that a trace has once, and the numbers that stand for them: the first ones of a table are
/// the smallest, and take one byte.
struct PerfettoInterning {
  private struct Table {
    var count: UInt64 = 0
    /// By the number that a timeline has for them; 0 where they are not told yet.
    var names: [UInt64] = []
    var texts: [String: UInt64] = [:]
  }

  /// What the next packet has to tell.
  private(set) var fresh = ProtobufEncoder()
  /// By their fields in `PerfettoSchema.Interned`.
  private var tables: [Table] = Array(repeating: Table(), count: 32)

  /// Texts that are no names can be as many as there are events. Beyond this they stand where they
  /// are used.
  private static let mostTexts = 1 << 15

  mutating func removeFresh() { fresh.removeAll() }

  /// The number of one of a timeline's names, in one of the tables of `PerfettoSchema.Interned`.
  mutating func number(of name: Int32, _ names: TraceNames, in field: UInt64) -> UInt64 {
    let (table, index) = (Int(field), Int(name))
    while tables[table].names.count <= index { tables[table].names.append(0) }
    if tables[table].names[index] == 0 { tables[table].names[index] = tell(names[name], field) }
    return tables[table].names[index]
  }

  /// The number of a text, in a table; nil where there are too many.
  mutating func number(of text: String, in field: UInt64) -> UInt64? {
    let table = Int(field)
    if let known = tables[table].texts[text] { return known }
    guard tables[table].texts.count < Self.mostTexts else { return nil }
    let number = tell(text, field)
    tables[table].texts[text] = number
    return number
  }

  private mutating func tell(_ text: String, _ field: UInt64) -> UInt64 {
    tables[Int(field)].count += 1
    let number = tables[Int(field)].count
    fresh.message(field) {
      $0.number(PerfettoSchema.Interned.number, number)
      $0.text(PerfettoSchema.Interned.text, text)
    }
    return number
  }
}

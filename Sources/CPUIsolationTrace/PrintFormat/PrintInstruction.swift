// SPDX-License-Identifier: Apache-2.0

/// A step of a program that prints an event. Numbers are on a stack; texts go to the line.
enum PrintInstruction: Sendable {
  // MARK: Numbers
  case constant(UInt64)
  case load(offset: UInt16, PrintWidth)
  /// Takes a place, leaves what is there.
  case loadAt(PrintWidth)
  /// Where a location word leads, counted from `base`.
  case place(offset: UInt16, base: UInt16)
  case length(offset: UInt16)
  case narrow(PrintWidth)
  case apply(PrintOperator, isSigned: Bool)
  case not
  case complement
  case isNonzero
  case jump(Int)
  case jumpIfZero(Int)
  /// Ticks of the recorder's clock to parts of a second.
  case ticks(perSecond: UInt64)

  // MARK: Conversions; the number is that of a specification
  case text(start: Int32, count: Int32)
  /// Takes what a `*` stands for.
  case setWidth
  case setPrecision
  case number(Int)
  /// `%d` or `%u` of a field, without anything else.
  case decimal(offset: UInt16, PrintWidth)
  case hexadecimal(offset: UInt16, PrintWidth)
  case character(Int)
  case address(Int)
  case function(Int, showsOffset: Bool, isReturn: Bool)
  case memory(Int)
  case flags(table: Int, Int)
  case symbolic(table: Int, Int)
  case literal(start: Int32, count: Int32, Int)
  case fixedText(offset: UInt16, count: UInt16, Int)
  case locatedText(offset: UInt16, base: UInt16, Int)
  case mask(offset: UInt16, base: UInt16, isList: Bool, Int)
  /// Takes a place.
  case textAt(Int)
  /// Takes an address, which may be that of a text of `trace_printk`.
  case textOfAddress(Int)
  /// Takes count and place.
  case bytes(isJoined: Bool, Int)
  /// Takes size, count and place.
  case numbers(Int)
  case dump(start: Int32, count: Int32)
  /// What depends on something that only the kernel knew.
  case unknown(Int)
}

/// Values and their names, in the order of the format.
struct PrintNames: Sendable {
  struct Entry: Sendable {
    var value: UInt64
    var start: Int32
    var count: Int32
  }

  var entries: [Entry] = []
  var separator: Range<Int> = 0..<0
  /// What of a value counts.
  var width = PrintWidth(size: 8, isSigned: false)
}

/// How the events of one format are printed: a program without branches that go back, so that it
/// ends, which appends to one line.
final class PrintProgram: Sendable {
  let instructions: [PrintInstruction]
  let specifications: [PrintSpecification]
  let tables: [PrintNames]
  /// All texts, one after the other.
  let texts: [UInt8]
  let longSize: Int
  /// Which instructions print a field by itself, and whether `0x` is before it.
  let shown: [String: (instructions: Range<Int>, hasBase: Bool)]
  let style: TraceTextReport.Style

  init(
    instructions: [PrintInstruction], specifications: [PrintSpecification], tables: [PrintNames],
    texts: [UInt8], longSize: Int, shown: [String: (instructions: Range<Int>, hasBase: Bool)],
    style: TraceTextReport.Style
  ) {
    self.instructions = instructions
    self.specifications = specifications
    self.tables = tables
    self.texts = texts
    self.longSize = longSize
    self.shown = shown
    self.style = style
  }

  /// How many numbers its stack holds.
  static let stackSize = 24
}

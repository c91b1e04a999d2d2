// SPDX-License-Identifier: Apache-2.0

/// Reads one predicate: `field operator operand`.
///
/// ```
/// predicate = field [ ".ustring" ] [ ".function" ] operator operand
/// operand   = number | quoted text | "CPUS{" CPU list "}" | function
/// ```
///
/// What is asked first decides which of two faults is reported, and follows the kernel.
struct PredicateParser {
  let text: FilterText
  let event: TraceEventFormat
  let cpuCount: Int
  let symbols: SymbolTable
  private var position: Int

  /// The longest number, in characters, and the longest quoted text, in bytes.
  private static let longestNumber = 23
  private static let longestText = 255

  /// Reads the predicate at `position`, and moves that after it.
  static func parse(
    _ text: FilterText, at position: inout Int, for event: TraceEventFormat, cpuCount: Int,
    symbols: SymbolTable
  ) throws(FilterFault) -> FilterPredicate {
    var parser = PredicateParser(
      text: text, event: event, cpuCount: cpuCount, symbols: symbols, position: position)
    do {
      let predicate = try parser.predicate()
      position = parser.position
      return predicate
    } catch {
      var fault = error
      fault.kernelPosition = parser.position + 1
      throw fault
    }
  }

  private mutating func predicate() throws(FilterFault) -> FilterPredicate {
    let field = try self.field()
    if text.has(".ustring", at: position) { position += 8 }
    let isFunction = text.has(".function", at: position)
    if isFunction { position += 9 }
    let comparison = try self.comparison()
    position = text.skipBlanks(from: position)
    let operand: FilterPredicate.Operand
    if isFunction {
      operand = try function(field, comparison)
    } else if text.has("CPUS", at: position) {
      operand = try cpus(field, comparison)
    } else if FilterText.isQuote(text[position]) {
      operand = try quoted(field, comparison)
    } else if FilterText.isDigit(text[position]) || text[position] == UInt8(ascii: "-") {
      operand = try number(field, comparison)
    } else {
      throw FilterFault(.invalidValue, at: position, hintForValue(field))
    }
    return FilterPredicate(field: field, comparison: comparison, operand: operand)
  }

  private mutating func field() throws(FilterFault) -> FilterField {
    position = text.skipBlanks(from: position)
    let start = position
    while FilterText.isName(text[position]) { position += 1 }
    guard position > start else { throw FilterFault(.errno, at: start, "a field is expected") }
    let name = text.string(start..<position)
    guard let field = FilterField.find(name, in: event) else {
      let known = event.fields.map(\.name).joined(separator: ", ")
      throw FilterFault(
        .fieldNotFound, at: start, "\(event.name) has \(known); every event has CPU, COMM")
    }
    return field
  }

  private mutating func comparison() throws(FilterFault) -> FilterPredicate.Comparison {
    position = text.skipBlanks(from: position)
    for comparison in FilterPredicate.Comparison.allCases {
      if text.has(comparison.rawValue, at: position) {
        position += comparison.rawValue.utf8.count
        return comparison
      }
    }
    throw FilterFault(.invalidOperator, at: position, "one of == != < <= > >= & ~ is expected")
  }

  // MARK: - Operands

  private mutating func function(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison
  ) throws(FilterFault) -> FilterPredicate.Operand {
    let start = position
    guard field.size == 8 else {
      throw FilterFault(
        .illegalFieldOperation, at: start, "\(field.name) is not as wide as an address")
    }
    guard comparison == .equal || comparison == .notEqual else {
      throw FilterFault(.invalidOperator, at: start, "a function takes == and !=")
    }
    if FilterText.isDigit(text[start]) {
      position = text.skipAlphanumerics(from: start)
      guard position - start <= Self.longestNumber else {
        throw FilterFault(.operandTooLong, at: start)
      }
      guard let address = UInt64(kernel: text.bytes[start..<position]) else {
        throw FilterFault(.invalidValue, at: start, "this is no address")
      }
      guard let symbol = symbols.symbol(at: address) else {
        throw FilterFault(.noFunction, at: start, "no function is there")
      }
      return .function("0x" + String(address, radix: 16), symbol.addresses)
    }
    while position < text.bytes.count, !FilterText.isBlank(text[position]) { position += 1 }
    let name = text.string(start..<position)
    guard let addresses = symbols[name] else {
      let isGlued = text.bytes[start..<position].contains(UInt8(ascii: ")"))
      throw FilterFault(
        .noFunction, at: start, isGlued ? "a blank ends the name, and ')' does not" : nil)
    }
    return .function(name, addresses)
  }

  private mutating func cpus(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison
  ) throws(FilterFault) -> FilterPredicate.Operand {
    guard field.takesCPUs else {
      throw FilterFault(.illegalFieldOperation, at: position, "\(field.name) is no set of CPUs")
    }
    guard comparison == .equal || comparison == .notEqual || comparison == .and else {
      throw FilterFault(
        .illegalFieldOperation, at: position, "a set of CPUs takes ==, != and &")
    }
    position += 4
    let start = position + 1
    position = start
    guard text[start - 1] == UInt8(ascii: "{") else {
      throw FilterFault(.missingBraceOpen, at: start - 1)
    }
    while position < text.bytes.count, text[position] != UInt8(ascii: "}") { position += 1 }
    guard position < text.bytes.count else {
      throw FilterFault(.missingBraceClose, at: start - 1)
    }
    // The list's reader knows ASCII alone, the kernel's has its table of Latin-1 here too.
    let list = text.bytes[start..<position].map { FilterText.isBlank($0) && $0 > 0x7f ? 0x20 : $0 }
    guard !list.isEmpty else { throw FilterFault(.invalidCPUList, at: start, "the list is empty") }
    do {
      let mask = try CPUListParser.parse(list.span, width: cpuCount)
      position += 1
      return .cpus(mask)
    } catch {
      throw FilterFault(.invalidCPUList, at: start + error.position, error.message)
    }
  }

  private mutating func quoted(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison
  ) throws(FilterFault) -> FilterPredicate.Operand {
    let start = position
    guard comparison == .equal || comparison == .notEqual || comparison == .matches else {
      throw FilterFault(.illegalFieldOperation, at: start, "a text takes ==, != and ~")
    }
    guard field.isText else { throw FilterFault(.expectDigit, at: start) }
    position += 1
    while position < text.bytes.count, text[position] != text[start] { position += 1 }
    guard position < text.bytes.count else { throw FilterFault(.missingQuote, at: start) }
    let content = text.bytes[start + 1..<position]
    guard content.count <= Self.longestText else {
      throw FilterFault(
        .operandTooLong, at: start, "\(content.count) bytes; \(Self.longestText) is the most")
    }
    position += 1
    return .text(Array(content))
  }

  private mutating func number(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison
  ) throws(FilterFault) -> FilterPredicate.Operand {
    let start = position
    guard !field.isText else { throw FilterFault(.expectString, at: start) }
    guard comparison != .matches else {
      throw FilterFault(.illegalFieldOperation, at: start, "a number does not take ~")
    }
    if text[position] == UInt8(ascii: "-") { position += 1 }
    position = text.skipAlphanumerics(from: position)
    guard position - start <= Self.longestNumber else {
      throw FilterFault(
        .operandTooLong, at: start,
        "\(position - start) characters; \(Self.longestNumber) is the most")
    }
    let digits = text.bytes[start..<position]
    let bits =
      field.isSigned
      ? Int64(kernel: digits).map(UInt64.init(bitPattern:)) : UInt64(kernel: digits)
    guard let bits else {
      position = start
      let kind = field.isSigned ? "signed" : "unsigned"
      throw FilterFault(.illegalInteger, at: start, "\(field.name) is \(kind)")
    }
    return .number(bits)
  }

  private func hintForValue(_ field: FilterField) -> String? {
    if text.has("MASK{", at: position) { return "a set of CPUs is written CPUS{…}" }
    return field.isText
      ? "a text stands in quotes" : "a number\(field.takesCPUs ? " or CPUS{…}" : "") is expected"
  }
}

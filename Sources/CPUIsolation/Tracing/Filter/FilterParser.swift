// SPDX-License-Identifier: Apache-2.0

/// Reads a filter: predicates joined by `&&` and `||`, with `!` and parentheses.
///
/// It recurses nowhere; what is open is on a stack of one entry per parenthesis, and each byte is
/// looked at a bounded number of times.
///
/// - Source: the method is that of `predicate_parse` (kernel/trace/trace_events_filter.c, Linux),
///   and its leniency too: an operator at the very end is ignored.
struct FilterParser {
  let text: FilterText
  let event: TraceEventFormat
  let cpuCount: Int
  let symbols: SymbolTable
  private var position = 0
  private var levels: [Level]
  private(set) var predicates: [FilterPredicate] = []
  private(set) var branches = FilterBranches()

  /// What is known of a pair of parentheses, or of the whole text, while it is read.
  private struct Level {
    /// Whether `!` applies to all of it.
    var isInverted: Bool
    /// Whether an operand of `&&`, or of `||`, was read whose right side is still to come.
    var hasAnd = false
    var hasOr = false
  }

  init(
    _ text: FilterText, for event: TraceEventFormat, cpuCount: Int, symbols: SymbolTable
  ) throws(FilterFault) {
    self.text = text
    self.event = event
    self.cpuCount = cpuCount
    self.symbols = symbols
    levels = [Level(isInverted: false)]
    let survey = try FilterSurvey(text)
    guard survey.predicates > 0 else {
      throw FilterFault(.errno, at: text.skipBlanks(from: 0), "there is no predicate")
    }
    try readPredicates(atMost: survey.predicates + 2)
    guard levels.count == 1 else { throw FilterFault(.tooManyOpen, at: position) }
    guard !predicates.isEmpty else { throw FilterFault(.noFilter, at: position) }
    guard branches.finish() else {
      throw FilterFault(.errno, at: text.bytes.count, "a predicate is expected")
    }
  }

  private mutating func readPredicates(atMost limit: Int) throws(FilterFault) {
    var isInverted = false
    while position < text.bytes.count {
      let byte = text[position]
      if FilterText.isBlank(byte) {
        position += 1
      } else if byte == UInt8(ascii: "(") {
        levels.append(Level(isInverted: isInverted))
        position += 1
      } else if byte == UInt8(ascii: "!"), !startsComparison(at: position) {
        isInverted.toggle()
        position += 1
      } else {
        guard predicates.count < limit else { throw FilterFault(.tooManyPredicates, at: position) }
        branches.appendPredicate(inverted: isInverted)
        predicates.append(
          try PredicateParser.parse(
            text, at: &position, for: event, cpuCount: cpuCount, symbols: symbols))
        isInverted = try readConnective()
      }
    }
  }

  private func startsComparison(at index: Int) -> Bool {
    text[index + 1] == UInt8(ascii: "=") || text[index + 1] == UInt8(ascii: "~")
  }

  /// Reads closing parentheses and the operator after a predicate, if there is one. Returns whether
  /// what follows begins inverted.
  private mutating func readConnective() throws(FilterFault) -> Bool {
    while true {
      position = text.skipBlanks(from: position)
      let byte = text[position]
      let isEnd = position >= text.bytes.count
      let isAnd = byte == UInt8(ascii: "&")
      let isOr = byte == UInt8(ascii: "|")
      if isAnd || isOr, text[position + 1] != byte {
        throw FilterFault(.tooManyPredicates, at: position, "&&, || or the end is expected")
      }
      guard isEnd || isAnd || isOr || byte == UInt8(ascii: ")") else {
        throw FilterFault(.tooManyPredicates, at: position, "&&, || or the end is expected")
      }
      position += isEnd ? 0 : isAnd || isOr ? 2 : 1
      let level = levels.count - 1
      let isInverted = levels[level].isInverted
      // The tighter operator's run ends at either operator, the looser one's not at the tighter.
      if levels[level].hasAnd {
        branches.closeRun(on: isInverted)
        levels[level].hasAnd = false
      }
      if isAnd {
        levels[level].hasAnd = true
        return isInverted
      }
      if levels[level].hasOr {
        branches.closeRun(on: !isInverted)
        levels[level].hasOr = false
      }
      if isOr {
        levels[level].hasOr = true
        return isInverted
      }
      if isEnd { return isInverted }
      guard levels.count > 1 else { throw FilterFault(.tooManyClose, at: position - 1) }
      levels.removeLast()
    }
  }
}

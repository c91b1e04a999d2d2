// SPDX-License-Identifier: Apache-2.0

/// A question to the records of one event, in the kernel's language for such questions.
///
/// ```swift
/// let filter = try TraceFilter(
///   "cpumask & CPUS{4-7} && callback.function == flush", for: .ipiSendCPUMask, cpuCount: 8,
///   symbols: symbols)
/// filter.matches(record, cpu: 0)
/// ```
///
/// ```
/// filter    = predicate | filter && filter | filter || filter | ! filter | ( filter )
/// predicate = field operator number              == != < <= > >= &
///           | field operator 'text' or "text"    == != and ~, a shell pattern
///           | field operator CPUS{0-3,7}         == != &, for fields that hold CPUs
///           | field.function operator name       == !=
/// ```
///
/// What is accepted, what is refused and why follow the kernel, its quirks included; the chapter
/// *Tracing* of the documentation lists them. Fields are those of the event, and for every event
/// `CPU`, `cpu` and `common_cpu`, the CPU that records, and `comm` and `COMM`, the name of its
/// thread.
///
/// A filter never changes. It is compiled once, to a program that only goes forward; asking it
/// neither allocates nor recurses, and looks at no predicate that cannot change the answer.
///
/// - Source: kernel/trace/trace_events_filter.c (Linux 6.18).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: when it is made
public final class TraceFilter: Sendable, CustomStringConvertible {
  /// The text that the filter was made from.
  public let text: String

  let program: FilterProgram
  let predicates: [FilterPredicate]
  let branches: FilterBranches

  /// Compiles a filter for an event.
  ///
  /// The texts `0` and the empty one ask nothing: every record matches.
  ///
  /// - Parameters:
  ///   - text: the filter, at most 4095 bytes.
  ///   - event: the event whose records it is for.
  ///   - cpuCount: how many CPUs there are: `CPUS{…}` names no other, and a number at or above it is
  ///     no CPU. Outside `1...CPUMask.maximumWidth` it stops the process.
  ///   - symbols: the functions that `.function` finds.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: ``TraceFilter/ParseError`` for the first thing that is wrong, in the kernel's order.
  /// - Complexity: linear in the length of the text.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the program
  public convenience init(
    _ text: String, for event: TraceEventFormat, cpuCount: Int = CPUMask.maximumWidth,
    symbols: SymbolTable = SymbolTable(), file: StaticString = #fileID, line: UInt = #line
  ) throws(TraceFilter.ParseError) {
    try self.init(
      utf8: Array(text.utf8), for: event, cpuCount: cpuCount, symbols: symbols, file: file,
      line: line)
  }

  /// Compiles a filter that comes as bytes, from a file or another program.
  ///
  /// They need not be UTF-8; in quotes any byte but zero stands for itself.
  ///
  /// - Parameters:
  ///   - bytes: the filter, at most 4095 bytes.
  ///   - event: the event whose records it is for.
  ///   - cpuCount: how many CPUs there are, `1...CPUMask.maximumWidth`.
  ///   - symbols: the functions that `.function` finds.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: ``TraceFilter/ParseError`` for the first thing that is wrong, in the kernel's order.
  /// - Complexity: linear in the length of the text.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the program
  public init(
    utf8 bytes: [UInt8], for event: TraceEventFormat, cpuCount: Int = CPUMask.maximumWidth,
    symbols: SymbolTable = SymbolTable(), file: StaticString = #fileID, line: UInt = #line
  ) throws(TraceFilter.ParseError) {
    guard (1...CPUMask.maximumWidth).contains(cpuCount) else {
      misuse(
        "TraceFilter: cpuCount \(cpuCount) is outside 1...\(CPUMask.maximumWidth).", file, line)
    }
    text = String(decoding: bytes, as: UTF8.self)
    var stripped = FilterText(bytes)
    stripped.stripEnd()
    do throws(FilterFault) {
      try Self.checkLength(bytes)
      if bytes.isEmpty || stripped.bytes[stripped.skipBlanks(from: 0)...] == [UInt8(ascii: "0")] {
        (predicates, branches) = ([], FilterBranches())
      } else {
        let parser = try FilterParser(stripped, for: event, cpuCount: cpuCount, symbols: symbols)
        (predicates, branches) = (parser.predicates, parser.branches)
      }
    } catch {
      throw TraceFilter.ParseError(error, in: text, stripped: stripped.bytes.count)
    }
    program = FilterProgram(predicates, branches, cpuCount: cpuCount)
  }

  deinit { program.deallocate() }

  /// Tells whether a record matches.
  ///
  /// `filter.matches(record.bytes, cpu: 3)`
  ///
  /// A record that is too short, or whose texts and masks do not lie within it, matches nothing.
  ///
  /// - Parameters:
  ///   - record: the whole record, from the common fields on.
  ///   - cpu: the CPU that recorded it.
  ///   - taskName: the name of the thread that recorded it; a zero ends it early.
  /// - Returns: whether it matches.
  /// - Complexity: linear in the number of predicates, their masks and texts; a shell pattern costs
  ///   at most the product of its length and the text's.
  /// - Progress: wait-free
  /// - Context: any thread, handlers, signal handlers
  /// - Allocates: never
  public func matches(_ record: RawSpan, cpu: Int, taskName: RawSpan = RawSpan()) -> Bool {
    unsafe record.withUnsafeBytes { record in
      unsafe taskName.withUnsafeBytes { name in
        // Safety: the spans outlive the call.
        unsafe program.matches(FilterBytes(record), cpu: cpu, taskName: FilterBytes(name))
      }
    }
  }

  /// Whether it asks nothing, so that every record matches.
  public var isUnconditional: Bool { predicates.isEmpty }

  /// The compiled program: a line per predicate with where it leads, and the two ends.
  ///
  /// ```
  /// 0: cpumask & CPUS{4-7}         false -> 3
  /// 1: callback.function == flush  false -> 3
  /// 2: TRUE
  /// 3: FALSE
  /// ```
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public var description: String {
    let width = predicates.map { $0.description.count }.max() ?? 0
    var lines = ""
    for (index, predicate) in predicates.enumerated() {
      let entry = branches.entries[index]
      let blanks = String(repeating: " ", count: width - predicate.description.count)
      lines += "\(index): \(predicate)\(blanks)  \(entry.branchWhen) -> \(entry.target)\n"
    }
    let end = branches.acceptance
    return lines + "\(end): TRUE\n\(end + 1): FALSE\n"
  }

  private static func checkLength(_ bytes: [UInt8]) throws(FilterFault) {
    guard bytes.count <= FilterText.limit else {
      throw FilterFault(
        .errno, at: FilterText.limit, "\(bytes.count) bytes; \(FilterText.limit) is the most")
    }
    if let zero = bytes.firstIndex(of: 0) { throw FilterFault(.errno, at: zero, "a zero byte") }
  }
}

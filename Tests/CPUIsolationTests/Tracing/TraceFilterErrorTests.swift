// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite struct TraceFilterErrorTests {
  private func failure(
    _ text: String, _ event: TraceEventFormat = .ipiSendCPUMask, cpuCount: Int = 8
  ) -> TraceFilter.ParseError? {
    do {
      _ = try TraceFilter(text, for: event, cpuCount: cpuCount)
      return nil
    } catch {
      return error
    }
  }

  private static let texts: [(String, String)] = [
    ("NONE", "No error"), ("INVALID_OP", "Invalid operator"), ("TOO_MANY_OPEN", "Too many '('"),
    ("TOO_MANY_CLOSE", "Too few '('"), ("MISSING_QUOTE", "Missing matching quote"),
    ("MISSING_BRACE_OPEN", "Missing '{'"), ("MISSING_BRACE_CLOSE", "Missing '}'"),
    ("OPERAND_TOO_LONG", "Operand too long"), ("EXPECT_STRING", "Expecting string field"),
    ("EXPECT_DIGIT", "Expecting numeric field"),
    ("ILLEGAL_FIELD_OP", "Illegal operation for field type"),
    ("FIELD_NOT_FOUND", "Field not found"), ("ILLEGAL_INTVAL", "Illegal integer value"),
    ("BAD_SUBSYS_FILTER", "Couldn't find or set field in one of a subsystem's events"),
    ("TOO_MANY_PREDS", "Too many terms in predicate expression"),
    ("INVALID_FILTER", "Meaningless filter expression"), ("INVALID_CPULIST", "Invalid cpulist"),
    ("IP_FIELD_ONLY", "Only 'ip' field is supported for function trace"),
    ("INVALID_VALUE", "Invalid value (did you forget quotes)?"),
    ("NO_FUNCTION", "Function not found"), ("ERRNO", "Error"), ("NO_FILTER", "No filter found"),
  ]

  @Test func namesAndTextsAreTheKernels() {
    #expect(TraceFilter.ParseError.Code.all.map(\.name) == Self.texts.map(\.0))
    #expect(TraceFilter.ParseError.Code.all.map(\.description) == Self.texts.map(\.1))
  }

  private static let places: [(String, TraceFilter.ParseError.Code, Int)] = [
    ("CPU == 0 && nosuch == 1", .fieldNotFound, 12), ("CPU = 0", .invalidOperator, 4),
    ("(CPU == 0", .tooManyOpen, 0), ("((CPU == 0) || (cpu == 1)", .tooManyOpen, 0),
    ("CPU == 0)", .tooManyClose, 8), ("comm == 'x", .missingQuote, 8),
    ("cpumask & CPUS 0", .missingBraceOpen, 14), ("cpumask & CPUS{0", .missingBraceClose, 14),
    ("cpumask & CPUS{0,9}", .invalidCPUList, 17), ("cpumask & CPUS{}", .invalidCPUList, 15),
    ("cpumask & CPUS{0-}", .invalidCPUList, 17),
    ("CPU == 123456789012345678901234", .operandTooLong, 7), ("comm == 5", .expectString, 8),
    ("CPU == '5'", .expectDigit, 7), ("comm < 'x'", .illegalFieldOperation, 7),
    ("CPU ~ 5", .illegalFieldOperation, 6), ("CPU == 0x", .illegalInteger, 7),
    ("CPU == 0 CPU == 1", .tooManyPredicates, 9), ("CPU == x", .invalidValue, 7),
    ("CPU == 1 && callsite.function == x", .noFunction, 33),
    ("(callsite.function == x)", .noFunction, 22), ("!", .noFilter, 1),
    ("()", .errno, 0), ("CPU == 0 && ()", .errno, 13), (" && CPU == 0", .errno, 1),
    ("CPU == 0 || CPU == 1 &&", .errno, 23),
  ]

  /// The caret stands where the fault begins.
  @Test(arguments: places)
  func place(_ text: String, _ code: TraceFilter.ParseError.Code, _ position: Int) throws {
    let error = try #require(failure(text))
    #expect(error.code == code)
    #expect(error.position == position)
    let caret = String(repeating: " ", count: position) + "^\n"
    let reason = code == .errno ? "" : "parse_error: \(code)\n"
    #expect(error.report == "\(text)\n\(caret)\(reason)")
  }

  @Test func caretFollowsCharactersNotBytes() throws {
    let error = try #require(failure("comm == 'é日' &&\tx == 1\n"))
    #expect(error.position == 19)
    #expect(
      error.report == "comm == 'é日' &&\tx == 1 \n               \t^\nparse_error: Field not found\n"
    )
  }

  /// What the kernel leaves to guesses.
  @Test(arguments: [
    ("cpumask & MASK{1}", "CPUS{…}"), ("cpumask & 0 && mask == 1", "ipi_send_cpumask has"),
    ("cpumask & CPUS{9}", "CPU 9 is not below the width 8"), ("()", "no predicate"),
    ("CPU == 0 && ()", "a field is expected"), ("comm == x", "quotes"),
    ("common_pid == x", "a number or CPUS{…}"),
  ])
  func hint(_ text: String, _ hint: String) throws {
    #expect(try #require(failure(text)?.hint).contains(hint))
  }

  // MARK: - Bad input

  @Test func limitIsTheKernels() throws {
    let filter = "CPU == 0"
    func padded(_ count: Int) -> String { filter + String(repeating: " ", count: count - 8) }
    #expect(failure(padded(4095)) == nil)
    let error = try #require(failure(padded(4096)))
    #expect(error.code == .errno && error.parseError == "" && error.position == 4095)
  }

  /// Nothing that is read recurses, and what is too long is not read.
  @Test func depthAndLengthAreErrors() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "(", count: depth) + "CPU == 0" + String(repeating: ")", count: depth)
    }
    #expect(failure(nested(2043)) == nil)
    #expect(failure(nested(100_000))?.code == .errno)
    #expect(failure(String(repeating: "(", count: 4000))?.code == .tooManyOpen)
    #expect(failure(String(repeating: "!", count: 4087) + "CPU == 0") == nil)
    for byte in ["(", ")", "!", "'", "x", " ", "&", "CPU == 0 && "] {
      #expect(failure(String(repeating: byte, count: 1 << 20))?.code == .errno)
    }
  }

  @Test func zeroBytesAreErrors() throws {
    let error = try #require(failure("CPU == 0\0 && nosuch"))
    #expect(error.code == .errno && error.position == 8)
    #expect(failure("comm == 'a\0b'")?.position == 10)
  }

  /// The kernel cannot print a report of more than 8155 bytes, and then prints no reason.
  @Test func reasonsThatTheKernelCannotPrintAreNone() throws {
    let last = try #require(failure(String(repeating: "(", count: 4095)))
    #expect(last.code == .tooManyOpen && last.parseError == "")
    let blanks = String(repeating: " ", count: 4025)
    let rest = "x ==" + String(repeating: "1", count: 66)
    #expect(failure(blanks + rest)?.parseError == "Field not found")
    #expect(failure(blanks + " " + rest.dropLast())?.parseError == "")
  }

  @Test func anyBytesAreReadWithoutCrashing() {
    var generator = SeededGenerator(state: 7)
    let pieces = [
      "(", ")", "!", "&&", "||", "CPU", "cpumask", "comm", "==", "~", "&", "CPUS{", "}", "'", "\"",
      "0", "-", ".function", " ", "\n", "0x", "x", "\u{e9}", "\u{0}",
    ]
    var accepted = 0
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<14, using: &generator)
      let text = (0..<count).map { _ in pieces.randomElement(using: &generator) ?? "" }.joined()
      guard let error = failure(text) else {
        accepted += 1
        continue
      }
      #expect((0...text.utf8.count).contains(error.position))
    }
    #expect(accepted > 100)
  }
}

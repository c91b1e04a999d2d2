// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a filter, while the text it is wrong in is known anyway.
struct FilterFault: Error {
  /// The kernel's names.
  enum Code: String, CaseIterable, Sendable {
    case none = "NONE"
    case invalidOperator = "INVALID_OP"
    case tooManyOpen = "TOO_MANY_OPEN"
    case tooManyClose = "TOO_MANY_CLOSE"
    case missingQuote = "MISSING_QUOTE"
    case missingBraceOpen = "MISSING_BRACE_OPEN"
    case missingBraceClose = "MISSING_BRACE_CLOSE"
    case operandTooLong = "OPERAND_TOO_LONG"
    case expectString = "EXPECT_STRING"
    case expectDigit = "EXPECT_DIGIT"
    case illegalFieldOperation = "ILLEGAL_FIELD_OP"
    case fieldNotFound = "FIELD_NOT_FOUND"
    case illegalInteger = "ILLEGAL_INTVAL"
    case badSubsystemFilter = "BAD_SUBSYS_FILTER"
    case tooManyPredicates = "TOO_MANY_PREDS"
    case invalidFilter = "INVALID_FILTER"
    case invalidCPUList = "INVALID_CPULIST"
    case ipFieldOnly = "IP_FIELD_ONLY"
    case invalidValue = "INVALID_VALUE"
    case noFunction = "NO_FUNCTION"
    case errno = "ERRNO"
    case noFilter = "NO_FILTER"
  }

  var code: Code
  var position: Int
  var hint: String?
  /// Where the kernel has its caret: after what it had read.
  var kernelPosition: Int

  init(_ code: Code, at position: Int, _ hint: String? = nil) {
    self.code = code
    self.position = position
    self.hint = hint
    kernelPosition = position
  }
}

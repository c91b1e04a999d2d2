// SPDX-License-Identifier: Apache-2.0

extension TraceFilter.ParseError {
  /// What is wrong with a filter, by the kernel's names.
  ///
  /// `error.code == .fieldNotFound`
  ///
  /// - Source: `ERRORS` (kernel/trace/trace_events_filter.c, Linux 6.18).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    let value: FilterFault.Code

    /// All codes, in the kernel's order.
    public static var all: [Code] { FilterFault.Code.allCases.map(Code.init) }

    /// Nothing is wrong. No filter fails with it.
    public static var none: Code { Code(value: .none) }
    /// No operator stands after the field.
    public static var invalidOperator: Code { Code(value: .invalidOperator) }
    /// A parenthesis is not closed.
    public static var tooManyOpen: Code { Code(value: .tooManyOpen) }
    /// A parenthesis is closed that is not open.
    public static var tooManyClose: Code { Code(value: .tooManyClose) }
    /// A quote is not closed.
    public static var missingQuote: Code { Code(value: .missingQuote) }
    /// `CPUS` is not followed by `{`.
    public static var missingBraceOpen: Code { Code(value: .missingBraceOpen) }
    /// `CPUS{` is not closed.
    public static var missingBraceClose: Code { Code(value: .missingBraceClose) }
    /// A number of more than 23 characters, or a text of more than 255 bytes.
    public static var operandTooLong: Code { Code(value: .operandTooLong) }
    /// A number is compared with a text.
    public static var expectString: Code { Code(value: .expectString) }
    /// A text is compared with a number.
    public static var expectDigit: Code { Code(value: .expectDigit) }
    /// The field, or what it is compared with, does not take this operator.
    public static var illegalFieldOperation: Code { Code(value: .illegalFieldOperation) }
    /// The event has no such field.
    public static var fieldNotFound: Code { Code(value: .fieldNotFound) }
    /// It begins like a number and is none, or is out of 64 bits.
    public static var illegalInteger: Code { Code(value: .illegalInteger) }
    /// No event of a subsystem takes the filter. The kernel's alone.
    public static var badSubsystemFilter: Code { Code(value: .badSubsystemFilter) }
    /// After a predicate stands something else than `&&`, `||` or `)`.
    public static var tooManyPredicates: Code { Code(value: .tooManyPredicates) }
    /// The kernel's alone.
    public static var invalidFilter: Code { Code(value: .invalidFilter) }
    /// What stands in `CPUS{…}` is no CPU list, or names CPUs that there are not.
    public static var invalidCPUList: Code { Code(value: .invalidCPUList) }
    /// Function events have filters of their own. The kernel's alone.
    public static var ipFieldOnly: Code { Code(value: .ipFieldOnly) }
    /// After the operator stands no number, quoted text or `CPUS{…}`.
    public static var invalidValue: Code { Code(value: .invalidValue) }
    /// No function has that name, or is at that address.
    public static var noFunction: Code { Code(value: .noFunction) }
    /// The kernel refuses without a reason; ``TraceFilter/ParseError/hint`` has ours.
    public static var errno: Code { Code(value: .errno) }
    /// There is no predicate in the text.
    public static var noFilter: Code { Code(value: .noFilter) }

    /// The kernel's name of the code, as `FIELD_NOT_FOUND`.
    public var name: String { value.rawValue }

    /// The kernel's text for the code, as `Field not found`.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var description: String {
      switch value {
      case .none: "No error"
      case .invalidOperator: "Invalid operator"
      case .tooManyOpen: "Too many '('"
      case .tooManyClose: "Too few '('"
      case .missingQuote: "Missing matching quote"
      case .missingBraceOpen: "Missing '{'"
      case .missingBraceClose: "Missing '}'"
      case .operandTooLong: "Operand too long"
      case .expectString: "Expecting string field"
      case .expectDigit: "Expecting numeric field"
      case .illegalFieldOperation: "Illegal operation for field type"
      case .fieldNotFound: "Field not found"
      case .illegalInteger: "Illegal integer value"
      case .badSubsystemFilter: "Couldn't find or set field in one of a subsystem's events"
      case .tooManyPredicates: "Too many terms in predicate expression"
      case .invalidFilter: "Meaningless filter expression"
      case .invalidCPUList: "Invalid cpulist"
      case .ipFieldOnly: "Only 'ip' field is supported for function trace"
      case .invalidValue: "Invalid value (did you forget quotes)?"
      case .noFunction: "Function not found"
      case .errno: "Error"
      case .noFilter: "No filter found"
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

extension TraceFilter {
  /// Why a text is no filter for an event, and where.
  ///
  /// ```swift
  /// do {
  ///   _ = try TraceFilter("cpumask & MASK{1}", for: .ipiSendCPUMask)
  /// } catch {
  ///   error.code      // .invalidValue
  ///   error.position  // 10
  ///   error.hint      // a set of CPUs is written CPUS{…}
  ///   print(error.report)
  ///   // cpumask & MASK{1}
  ///   //           ^
  ///   // parse_error: Invalid value (did you forget quotes)?
  /// }
  /// ```
  ///
  /// - Source: the verdicts of kernel/trace/trace_events_filter.c (Linux 6.18). The caret stands under
  ///   what is wrong, which is not always where the kernel puts it; the hint is ours.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts, when it is made
  public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let code: Code

    /// Where it is: the distance in bytes from the start of the text to what is wrong, or to where
    /// something is missing.
    public let position: Int

    /// The text that is no filter.
    public let text: String

    /// What the kernel does not say: what would be right, or what exactly is wrong.
    public let hint: String?

    /// The text after `parse_error: `; empty where the kernel gives none.
    ///
    /// It gives none for ``Code/errno``, and none for a long text that is wrong near its end: its
    /// report is longer than what it can print at once.
    public let parseError: String

    /// How many bytes the kernel can print at once: two pages without what describes them.
    private static let longestReport = 8156

    init(_ fault: FilterFault, in text: String, stripped length: Int) {
      code = Code(value: fault.code)
      position = fault.position
      self.text = text
      hint = fault.hint
      let caret = min(fault.kernelPosition, length)
      let reason = code.description
      let report =
        length + (caret == 0 ? 2 : caret + 2) + "\nparse_error: ".utf8.count + reason.utf8.count + 2
      parseError = fault.code == .errno || report >= Self.longestReport ? "" : reason
    }

    /// The lines that the kernel leaves in an event's filter file: the text, a caret under what is
    /// wrong, and the kernel's text for it, if it has one. Each line ends with a newline.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the text
    public var report: String {
      var lines = ""
      var caret = ""
      var offset = 0
      for scalar in text.unicodeScalars {
        // A caret finds its place only under one line, and tabs are as wide as the terminal has them.
        lines.unicodeScalars.append(scalar == "\n" ? " " : scalar)
        if offset < position { caret += scalar == "\t" ? "\t" : " " }
        offset += UTF8.width(scalar)
      }
      lines += "\n\(caret)^\n"
      return parseError.isEmpty ? lines : lines + "parse_error: \(parseError)\n"
    }

    /// One line: the code's text, the position and the hint.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the text
    public var description: String {
      let reason = parseError.isEmpty ? "not a filter" : parseError
      return "filter, byte \(position): \(reason)" + (hint.map { " (\($0))" } ?? "")
    }
  }
}

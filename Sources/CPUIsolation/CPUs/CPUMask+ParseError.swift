// SPDX-License-Identifier: Apache-2.0

extension CPUMask {
  /// Why a text is not a CPU list, and where.
  ///
  /// ```swift
  /// do {
  ///   _ = try CPUMask(cpuList: "0-3,10-8")
  /// } catch {
  ///   error.code     // .invalid
  ///   error.position // 4
  ///   print(error)   // CPU list region "10-8" at byte 4: the range ends before it starts
  /// }
  /// ```
  ///
  /// - Source: the verdicts of `bitmap_parselist` (lib/bitmap-str.c, Linux). The kernel gives only
  ///   the number; place and reason are ours.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the message, when it is made
  public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The three ways in which a list can be wrong.
    ///
    /// `if error.code == .range { print("this machine has fewer CPUs") }`
    ///
    /// - Source: the three error numbers of `bitmap_parselist` (lib/bitmap-str.c, Linux).
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public struct Code: Hashable, Sendable, CustomStringConvertible {
      private enum Name: String { case invalid, range, overflow }
      private let name: Name

      /// The text is not in the grammar, or a range ends before it starts, or a pattern cannot be
      /// (`EINVAL`, 22).
      ///
      /// `"3-1"`, `"0-"`, `"0-3:2/1"`
      ///
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public static var invalid: Code { Code(name: .invalid) }

      /// A number is not below the width of the mask (`ERANGE`, 34).
      ///
      /// `"0-8"` at width 8
      ///
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public static var range: Code { Code(name: .range) }

      /// A number does not fit 32 bits (`EOVERFLOW`, 75).
      ///
      /// `"4294967296"`
      ///
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public static var overflow: Code { Code(name: .overflow) }

      /// The name of the code: `invalid`, `range` or `overflow`.
      ///
      /// `"\(CPUMask.ParseError.Code.range)" == "range"`
      ///
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public var description: String { name.rawValue }
    }

    /// Which of the three kinds of fault it is.
    ///
    /// `error.code == .invalid`
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let code: Code

    /// Where the fault is: the distance in UTF-8 bytes from the start of the text to the token that
    /// is wrong, or to the end of the text where a token is missing.
    ///
    /// `String(repeating: " ", count: error.position) + "^"` points at it.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let position: Int

    /// A sentence that quotes the faulty region and says what is wrong with it.
    ///
    /// `CPU list region "0-x" at byte 2: a number or N is expected`
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let message: String

    /// The same as ``message``.
    ///
    /// `print(error)`
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var description: String { message }

    init(_ code: Code, at offset: Int, region: String, _ reason: String) {
      self.code = code
      position = offset
      message = "CPU list region \"\(region)\" at byte \(offset): \(reason)"
    }
  }
}

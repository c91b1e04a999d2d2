// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// What the environment, not the program, refused.
///
///     do {
///       try coordinator.launch(on: 3, options: .init(locksMemory: true)) { cpu in … }
///     } catch let error where error.code == .memoryLockRefused {
///       print(error)  // cannot lock the memory for CPU 3: EPERM: operation not permitted; …
///     }
///
/// Programmer errors are not thrown: they end the process with a sentence. Expected outcomes are
/// not thrown either: they are enums and reports. An error in a text has the same parts and a
/// position: ``CPUMask/ParseError``, ``TraceFilter/ParseError``.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: the message
public struct IsolationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of refusal. New kinds may be added: a `switch` over them needs a default.
  ///
  /// Each part of the library declares those that it throws.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The name of the code.
    public let description: String

    package init(_ name: String) { description = name }
  }

  /// The kind of refusal.
  public let code: Code

  /// What was asked for, and why it was refused.
  public let message: String

  /// The system's error number, or 0 where no system call was involved.
  public let errno: Int32

  /// What would make the system agree; nil where that is not known.
  public let hint: String?

  package init(_ code: Code, errno: Int32 = 0, hint: String? = nil, _ message: String) {
    self.code = code
    self.errno = errno
    self.hint = hint
    self.message = message
  }

  /// The message, the system's error by its name, and the hint.
  public var description: String {
    let refusal = errno == 0 ? "" : ": \(Self.describe(errno))"
    return message + refusal + (hint.map { "; \($0)" } ?? "")
  }

  /// A system's error number by its name: `EPERM: operation not permitted`.
  package static func describe(_ errno: Int32) -> String {
    guard let name = unsafe cpi_error_name(errno), let text = unsafe cpi_error_text(errno) else {
      return "errno \(errno)"
    }
    return unsafe "\(String(cString: name)): \(String(cString: text))"
  }
}

extension IsolationError.Code {
  /// Memory could not be mapped.
  public static let outOfMemory = Self("outOfMemory")
  /// A number or a name that was handed in is outside its limits; the message names both.
  public static let invalidConfiguration = Self("invalidConfiguration")
  /// The time was over first.
  public static let timedOut = Self("timedOut")
  /// The coordinator is closed.
  public static let closed = Self("closed")
  /// The process was forked since: the other threads do not exist in this child.
  public static let forked = Self("forked")
}

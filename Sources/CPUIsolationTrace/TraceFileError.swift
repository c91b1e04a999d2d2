// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Why a trace file could not be read or written, and where in the file.
///
/// ```swift
/// do {
///   let recording = try TraceRecording(contentsOf: "trace.dat")
/// } catch {
///   print(error)  // trace.dat: byte 14: the page size needs 4 bytes; there are 2
/// }
/// ```
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: for the text
public struct TraceFileError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What kind of reason it is. New kinds may be added: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The name of the code.
    public let description: String

    /// The file begins like something else.
    public static let notATrace = Self(description: "notATrace")
    /// A trace that this library does not read; the message says what to do.
    public static let unsupported = Self(description: "unsupported")
    /// The file ends too early.
    public static let truncated = Self(description: "truncated")
    /// The file contradicts itself.
    public static let damaged = Self(description: "damaged")
    /// The system refused.
    public static let system = Self(description: "system")
  }

  /// What kind of reason it is.
  public let code: Code
  /// The file's name, as it was given.
  public let file: String
  /// The byte at which the file is wrong, counted from 0; nil if it is not about a byte.
  public let position: UInt64?
  /// What is wrong there.
  public let message: String
  /// The system's error number, or 0 where no system call was involved.
  public let errno: Int32

  init(
    _ code: Code, file: String, position: UInt64? = nil, errno: Int32 = 0, _ message: String
  ) {
    self.code = code
    self.file = file
    self.position = position
    self.errno = errno
    self.message = message
  }

  /// The file, the place in it, the message, and the system's error by its name.
  public var description: String {
    let place = position.map { "byte \($0): " } ?? ""
    let refusal = errno == 0 ? "" : ": \(IsolationError.describe(errno))"
    return "\(file): \(place)\(message)\(refusal)"
  }
}

extension TraceFileError {
  @available(*, deprecated, renamed: "position")
  public var offset: UInt64? { position }

  @available(*, deprecated, renamed: "message")
  public var reason: String { message }
}

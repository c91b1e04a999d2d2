// SPDX-License-Identifier: Apache-2.0

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
  /// What kind of reason it is.
  ///
  /// `notATrace`: the file begins like something else. `unsupported`: a trace that this library
  /// does not read, and the text says what to do. `truncated`: the file ends too early. `damaged`:
  /// it contradicts itself. `system`: the system refused; the text says why.
  public enum Code: Sendable, Equatable {
    case notATrace, unsupported, truncated, damaged, system
  }

  /// What kind of reason it is.
  public let code: Code
  /// The file's name, as it was given.
  public let file: String
  /// The byte at which the file is wrong, counted from 0; nil if it is not about a byte.
  public let offset: UInt64?
  /// What is wrong there.
  public let reason: String

  init(_ code: Code, file: String, offset: UInt64? = nil, _ reason: String) {
    self.code = code
    self.file = file
    self.offset = offset
    self.reason = reason
  }

  public var description: String {
    guard let offset else { return "\(file): \(reason)" }
    return "\(file): byte \(offset): \(reason)"
  }
}

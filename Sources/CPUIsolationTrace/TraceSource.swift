// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The bytes of a trace, read piece by piece.
///
/// A file is read, not mapped: another process may cut a mapped file short, and touching what is
/// gone kills the process.
final class TraceSource: Sendable {
  private enum Storage: Sendable {
    case memory([UInt8])
    case descriptor(Int32)
  }

  let name: String
  let size: UInt64
  private let storage: Storage

  init(bytes: [UInt8], name: String) {
    self.name = name
    size = UInt64(bytes.count)
    storage = .memory(bytes)
  }

  init(path: String) throws(TraceFileError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TraceFileError(path, errno, "opened") }
    let end = lseek(descriptor, 0, SEEK_END)
    guard end >= 0 else {
      let code = errno
      close(descriptor)
      throw TraceFileError(path, code, "read at any place")
    }
    name = path
    size = UInt64(end)
    storage = .descriptor(descriptor)
  }

  deinit {
    if case .descriptor(let descriptor) = storage { close(descriptor) }
  }

  /// What is there, at most `count` bytes; fewer only at the end.
  func read(at offset: UInt64, count: Int) throws(TraceFileError) -> [UInt8] {
    guard offset < size, count > 0 else { return [] }
    let count = Int(min(UInt64(count), size - offset))
    switch storage {
    case .memory(let bytes): return Array(bytes[Int(offset)..<Int(offset) + count])
    case .descriptor(let descriptor):
      var failure: Int32 = 0
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
        while used < count {
          let result = unsafe pread(
            descriptor, buffer.baseAddress! + used, count - used, off_t(offset) + used)
          if result > 0 {
            used += result
          } else if result == 0 {
            break
          } else if errno != EINTR {
            failure = errno
            break
          }
        }
      }
      guard failure == 0 else { throw TraceFileError(name, failure, "read") }
      return bytes
    }
  }

  func error(
    _ code: TraceFileError.Code, at offset: UInt64, _ reason: String
  ) -> TraceFileError {
    TraceFileError(code, file: name, position: offset, reason)
  }
}

extension TraceFileError {
  /// `verb`: what the system would not do, as in "cannot be opened".
  init(_ path: String, _ code: Int32, _ verb: String) {
    self.init(.system, file: path, errno: code, "cannot be \(verb)")
  }
}

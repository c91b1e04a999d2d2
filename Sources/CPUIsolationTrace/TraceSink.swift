// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Where a writer's bytes go: into memory, or into a file that appears whole or not at all.
struct TraceSink: ~Copyable {
  let name: String
  /// How many bytes were written.
  private(set) var count: UInt64 = 0
  private var buffer: [UInt8] = []
  private var descriptor: Int32 = -1
  /// What the file is called until it is complete; empty where it is written in place.
  private var partialName = ""

  private static let bufferSize = 1 << 16

  /// Into memory.
  init() { name = "memory" }

  /// Into a file. What is there already is replaced at the end; `-`, a terminal or a pipe is
  /// written as it goes.
  init(path: String) throws(TraceFileError) {
    name = path
    if path == "-" {
      descriptor = dup(STDOUT_FILENO)
    } else {
      var status = stat()
      let exists = unsafe stat(path, &status) == 0
      let isRegular = status.st_mode & S_IFMT == S_IFREG
      if exists, !isRegular {
        descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
      } else {
        partialName = path + ".partial"
        descriptor = unsafe open(partialName, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
      }
    }
    guard descriptor >= 0 else { throw TraceFileError(path, errno, "written") }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if !partialName.isEmpty { unsafe unlink(partialName) }
  }

  mutating func write(_ bytes: some Collection<UInt8>) throws(TraceFileError) {
    buffer += bytes
    count += UInt64(bytes.count)
    if descriptor >= 0, buffer.count >= Self.bufferSize { try flush() }
  }

  /// Writes what `body` appends.
  mutating func write(_ body: (inout [UInt8]) -> Void) throws(TraceFileError) {
    let before = buffer.count
    body(&buffer)
    count += UInt64(buffer.count - before)
    if descriptor >= 0, buffer.count >= Self.bufferSize { try flush() }
  }

  /// Writes over what was written.
  mutating func patch(_ place: UInt64, _ bytes: [UInt8]) throws(TraceFileError) {
    guard descriptor >= 0 else {
      buffer.replaceSubrange(Int(place)..<Int(place) + bytes.count, with: bytes)
      return
    }
    try flush()
    // Safety: the bytes are only read while the array lends them.
    let result = unsafe bytes.withUnsafeBytes {
      unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(place))
    }
    guard result == bytes.count else {
      throw TraceFileError(name, result < 0 ? errno : EIO, "written")
    }
  }

  mutating func patch(_ place: UInt64, _ value: UInt64) throws(TraceFileError) {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(value)
    try patch(place, bytes)
  }

  /// Whether what was written can be written over: not what went into a pipe.
  var canPatch: Bool { descriptor < 0 || !partialName.isEmpty }

  private mutating func flush() throws(TraceFileError) {
    var done = 0
    var failure: Int32 = 0
    unsafe buffer.withUnsafeBytes { bytes in
      while done < bytes.count, failure == 0 {
        let result = unsafe Glibc.write(
          descriptor, bytes.baseAddress! + done, bytes.count - done)
        if result >= 0 { done += result } else if errno != EINTR { failure = errno }
      }
    }
    guard failure == 0 else { throw TraceFileError(name, failure, "written") }
    buffer.removeAll(keepingCapacity: true)
  }

  /// The bytes, if they went into memory.
  consuming func finish() throws(TraceFileError) -> [UInt8] {
    guard descriptor >= 0 else { return buffer }
    try flush()
    let result = close(descriptor)
    descriptor = -1
    guard result == 0 else { throw TraceFileError(name, errno, "written") }
    if !partialName.isEmpty {
      guard unsafe rename(partialName, name) == 0 else {
        throw TraceFileError(name, errno, "written")
      }
      partialName = ""
    }
    return []
  }
}

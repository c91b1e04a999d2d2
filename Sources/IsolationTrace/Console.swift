// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The standard streams, in bytes: what comes in need not be UTF-8, and what goes out is written
/// before the next read, so that another program can talk with this one line by line.
struct Console {
  private var input: [UInt8] = []
  private var inputStart = 0
  private var isAtEnd = false
  private var output: [UInt8] = []

  /// Reads what there is, at most so many bytes; empty at the end, `nil` on an error.
  static func read(_ file: Int32, atMost limit: Int) -> [UInt8]? {
    while true {
      var count = 0
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
        count = unsafe Glibc.read(file, buffer.baseAddress, limit)
        initialized = max(0, count)
      }
      if count >= 0 { return bytes }
      if errno != EINTR { return nil }
    }
  }

  /// The next line of standard input without its newline, or `nil` at the end.
  mutating func readLine() -> [UInt8]? {
    var searched = inputStart
    while true {
      if let newline = input[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { inputStart = newline + 1 }
        return Array(input[inputStart..<newline])
      }
      if isAtEnd {
        guard inputStart < input.count else { return nil }
        defer { inputStart = input.count }
        return Array(input[inputStart...])
      }
      input.removeSubrange(..<inputStart)
      inputStart = 0
      searched = input.count
      flush()
      let bytes = Self.read(STDIN_FILENO, atMost: 65536) ?? []
      isAtEnd = bytes.isEmpty
      input += bytes
    }
  }

  /// Prints to standard output; the newline is the text's.
  mutating func print(_ text: String) {
    output += text.utf8
    if output.count >= 65536 { flush() }
  }

  /// Prints to standard output what `body` appends.
  mutating func write(_ body: (inout [UInt8]) -> Void) {
    body(&output)
    if output.count >= 65536 { flush() }
  }

  /// Prints to standard error, after what standard output has got.
  mutating func complain(_ text: String) {
    flush()
    Self.write(Array(text.utf8), to: STDERR_FILENO)
  }

  mutating func flush() {
    Self.write(output, to: STDOUT_FILENO)
    output.removeAll(keepingCapacity: true)
  }

  private static func write(_ bytes: [UInt8], to file: Int32) {
    unsafe bytes.withUnsafeBytes { bytes in
      var rest = unsafe bytes[...]
      while unsafe !rest.isEmpty {
        let part = unsafe UnsafeRawBufferPointer(rebasing: rest)
        let count = unsafe Glibc.write(file, part.baseAddress, part.count)
        if count < 0, errno == EINTR { continue }
        // Nobody reads any more, and there is nobody to tell.
        guard count > 0 else { return }
        unsafe rest = rest.dropFirst(count)
      }
    }
  }
}

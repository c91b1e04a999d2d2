// SPDX-License-Identifier: Apache-2.0

internal import Glibc

extension SystemFiles {
  /// Writes a text to a file that is there, in one piece, as control files want it.
  package func write(_ text: String, to path: String) throws(Refusal) {
    let file = unsafe open(root + path, O_WRONLY | O_TRUNC | O_CLOEXEC)
    guard file >= 0 else { throw Refusal(path: path, errno: errno) }
    defer { close(file) }
    var text = text
    while true {
      let count = text.withUTF8 { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
      if count == text.utf8.count { return }
      if count < 0, errno == EINTR { continue }
      throw Refusal(path: path, errno: count < 0 ? errno : EIO)
    }
  }

  package func makeFolder(_ path: String) throws(Refusal) {
    if unsafe mkdir(root + path, 0o700) != 0 { throw Refusal(path: path, errno: errno) }
  }

  package func removeFolder(_ path: String) throws(Refusal) {
    if unsafe rmdir(root + path) != 0 { throw Refusal(path: path, errno: errno) }
  }

  /// Opens a pipe of the kernel from which reads do not wait.
  func openPipe(_ path: String) throws(Refusal) -> Int32 {
    let file = unsafe open(root + path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if file < 0 { throw Refusal(path: path, errno: errno) }
    return file
  }

  /// What is in such a pipe now: at most so many bytes, and empty where there is nothing.
  static func drain(_ file: Int32, atMost limit: Int, _ path: String) throws(Refusal) -> [UInt8] {
    while true {
      var count = 0
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
        count = unsafe Glibc.read(file, buffer.baseAddress, limit)
        initialized = max(0, count)
      }
      if count >= 0 || errno == EAGAIN { return bytes }
      if errno != EINTR { throw Refusal(path: path, errno: errno) }
    }
  }
}

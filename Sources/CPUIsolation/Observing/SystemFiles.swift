// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The files in which the kernel tells what it counts and how it is set: of this machine, or of a
/// tree of files that stands for another one.
package struct SystemFiles: Sendable {
  /// Why a file was not read.
  package struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let errno: Int32

    /// Whether there is no such file, which may be an answer in itself.
    package var isAbsence: Bool { errno == ENOENT || errno == ENOTDIR }

    package var description: String {
      switch errno {
      case ENOENT, ENOTDIR: "\(path) does not exist"
      case EACCES: "\(path) may not be read (EACCES)"
      case EPERM: "\(path) may not be read (EPERM)"
      case ESRCH: "\(path): the process or thread has ended (ESRCH)"
      default: "\(path) cannot be read (errno \(errno))"
      }
    }
  }

  /// What stands before every path: empty for this machine.
  package let root: String

  package init(root: String = "") {
    self.root = root == "/" ? "" : root
  }

  /// The whole text of a file. What is not UTF-8 is repaired.
  package func text(_ path: String) throws(Refusal) -> String {
    var bytes: [UInt8] = []
    try read(path, into: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Reads a whole file into a buffer in place of what was there. A buffer that is used again keeps
  /// its memory: giving it back to the system would interrupt the other threads of the process.
  package func read(_ path: String, into bytes: inout [UInt8]) throws(Refusal) {
    bytes.removeAll(keepingCapacity: true)
    let file = unsafe open(root + path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Refusal(path: path, errno: errno) }
    defer { close(file) }
    while true {
      let (count, error) = unsafe withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 8) {
        chunk -> (Int, Int32) in
        let count = unsafe Glibc.read(file, chunk.baseAddress, chunk.count)
        if count > 0 { unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(chunk)[..<count]) }
        return (count, count < 0 ? errno : 0)
      }
      if count == 0 { return }
      if count < 0, error != EINTR { throw Refusal(path: path, errno: error) }
    }
  }

  /// Where a symbolic link leads.
  package func linkTarget(_ path: String) throws(Refusal) -> String {
    var name = [UInt8](repeating: 0, count: 256)
    // Safety: the buffer has a beginning, since it is not empty.
    let count = unsafe name.withUnsafeMutableBytes { bytes in
      unsafe readlink(root + path, bytes.baseAddress.unsafelyUnwrapped, bytes.count)
    }
    guard count >= 0 else { throw Refusal(path: path, errno: errno) }
    return String(decoding: name[..<count], as: UTF8.self)
  }

  /// The names in a folder, in the order of their numbers or letters, without those that begin with
  /// a dot.
  package func names(in path: String) throws(Refusal) -> [String] {
    guard let folder = unsafe opendir(root + path) else { throw Refusal(path: path, errno: errno) }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(folder) else {
        if errno != 0 { throw Refusal(path: path, errno: errno) }
        break
      }
      // Safety: the kernel ends the name with a zero, and the entry lives until the next call.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name.utf8.first != UInt8(ascii: ".") { names.append(name) }
    }
    return names.sorted { left, right in
      switch (Int(left), Int(right)) {
      case (let left?, let right?): left < right
      case (_?, nil): true
      case (nil, _?): false
      case (nil, nil): left < right
      }
    }
  }
}

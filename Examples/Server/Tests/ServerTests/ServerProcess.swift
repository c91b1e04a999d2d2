// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// The server as its users start it: a process of its own, with its output in a file.
final class ServerProcess {
  let port: Int
  let metricsPort: Int
  private let process: pid_t
  private let output: String
  /// How many there were: each has a file of its own.
  private static let count = Atomic(0)

  struct Failure: Error { let sentence: String }

  /// Starts the server, and returns when it says on which port it listens.
  init() throws {
    guard let path = Self.executable("server") else {
      throw Failure(sentence: "no server beside the tests")
    }
    let number = Self.count.wrappingAdd(1, ordering: .relaxed).newValue
    output = "\(path)-\(getpid())-\(number).txt"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    let words = [strdup(path), nil]
    defer { free(words[0]) }
    var process = pid_t()
    let error = posix_spawn(&process, path, &actions, nil, words, environ)
    if error != 0 { throw Failure(sentence: "the server does not start: errno \(error)") }
    self.process = process
    for _ in 0..<120_000 {
      let text = Self.text(output)
      if let port = Self.port("listening", in: text),
        let metricsPort = Self.port("metrics", in: text)
      {
        self.port = port
        self.metricsPort = metricsPort
        return
      }
      usleep(1000)
    }
    kill(process, SIGKILL)
    throw Failure(sentence: "the server does not listen: \(Self.text(output))")
  }

  /// Sends SIGTERM, and waits for the end: the exit status, or minus the signal that ended it, and what it said.
  func terminate() -> (status: Int32, output: String) {
    kill(process, SIGTERM)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 { if errno != EINTR { return (-1, "") } }
    let code = status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
    defer { unlink(output) }
    return (code, Self.text(output))
  }

  private static func port(_ word: String, in text: String) -> Int? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(word) }) else {
      return nil
    }
    return line.split(separator: " ").last.flatMap { Int($0) }
  }

  static func executable(_ name: String) -> String? {
    // The bundle, or the program that runs it, lies in the build folder.
    for argument in CommandLine.arguments {
      let folder = argument.split(separator: "/", omittingEmptySubsequences: false).dropLast()
      let path = folder.joined(separator: "/") + "/\(name)"
      if access(path, X_OK) == 0 { return path }
    }
    return nil
  }

  private static func text(_ path: String) -> String {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return "" }
    defer { close(file) }
    return String(unsafeUninitializedCapacity: 1 << 16) { buffer in
      max(0, read(file, buffer.baseAddress, buffer.count))
    }
  }
}

/// A client that asks one line after the other.
final class Client {
  private let socket: Int32

  init(port: Int) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let error = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if error != 0 { throw ServerProcess.Failure(sentence: "no connection: errno \(errno)") }
  }

  deinit { close(socket) }

  /// Sends a text, and reads to the end of the connection.
  func exchange(_ text: String) -> String {
    guard tell(text) else { return "closed" }
    var answer: [UInt8] = []
    var byte: UInt8 = 0
    while recv(socket, &byte, 1, 0) == 1 { answer.append(byte) }
    return String(decoding: answer, as: UTF8.self)
  }

  private func tell(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  func ask(_ line: String) -> String {
    guard tell(line + "\n") else { return "closed" }
    var answer: [UInt8] = []
    var byte: UInt8 = 0
    while recv(socket, &byte, 1, 0) == 1 {
      if byte == UInt8(ascii: "\n") { return String(decoding: answer, as: UTF8.self) }
      answer.append(byte)
    }
    return "closed"
  }
}

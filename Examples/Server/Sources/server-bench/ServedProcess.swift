// SPDX-License-Identifier: Apache-2.0

import CMachine
import Glibc

struct LoadFailure: Error { let sentence: String }

/// A server in a process of its own, which this one starts and talks to through pipes.
final class ServedProcess {
  let process: pid_t
  let port: Int
  private let input: Int32
  private var output: LineReader

  init(_ variant: Variant, _ options: Options, isPreempted: Bool) throws {
    var words = [
      "/proc/self/exe", "--serve", variant.rawValue, "--changes", "\(options.changes)", "--keys",
      "\(options.keys)",
    ]
    if isPreempted { words.append("--preempted") }
    var (toServer, fromServer) = (
      [Int32](repeating: -1, count: 2), [Int32](repeating: -1, count: 2)
    )
    let refusal = max(machine_pipe(&toServer), machine_pipe(&fromServer))
    if refusal != 0 { throw LoadFailure(sentence: "no pipe: errno \(refusal)") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, toServer[0], 0)
    posix_spawn_file_actions_adddup2(&actions, fromServer[1], 1)
    let arguments = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var process = pid_t()
    let error = posix_spawn(&process, words[0], &actions, nil, arguments, environ)
    close(toServer[0])
    close(fromServer[1])
    if error != 0 { throw LoadFailure(sentence: "the server does not start: errno \(error)") }
    self.process = process
    (input, output) = (toServer[1], LineReader(file: fromServer[0]))
    var known = 0
    while known == 0 {
      guard let line = output.next() else {
        throw LoadFailure(sentence: "the server of \(variant.rawValue) ended at its start")
      }
      if line.hasPrefix("listening on port ") {
        known = line.split(separator: " ").last.flatMap { Int($0) } ?? 0
      }
    }
    port = known
  }

  /// Has the server change its table from now on.
  func begin() { say("begin\n") }

  /// Ends that; how many changes it has made.
  func end() throws -> Int {
    say("end\n")
    guard
      let count = output.next()?.split(separator: " ").last.flatMap({ Int($0) })
    else { throw LoadFailure(sentence: "the server does not say how often it has changed") }
    return count
  }

  deinit {
    close(input)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    close(output.file)
  }

  private func say(_ word: String) {
    let bytes = Array(word.utf8)
    _ = write(input, bytes, bytes.count)
  }
}

/// The lines of a pipe.
struct LineReader: IteratorProtocol {
  let file: Int32
  private var unread: [UInt8] = []

  init(file: Int32) { self.file = file }

  /// The next line; nil at the end.
  mutating func next() -> String? {
    while true {
      if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
        defer { unread.removeFirst(end + 1) }
        return String(decoding: unread[..<end], as: UTF8.self)
      }
      var bytes = [UInt8](repeating: 0, count: 256)
      let count = read(file, &bytes, bytes.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return nil }
      unread += bytes[..<count]
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A run of the built `isolation-demo`, which lies beside the test bundle, or of another program.
struct DemoProcess {
  let status: Int32
  let output: String
  let errors: String

  static var directory: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
  }

  static var executable: URL { directory.appendingPathComponent("isolation-demo") }

  /// Runs it, or the program at a path, after `tool` if there is one, with standard error in a pipe
  /// or, if it is given, in a terminal.
  init(
    _ arguments: [String], of program: String? = nil, under tool: [String] = [],
    terminal: FileHandle? = nil
  ) throws {
    let process = Process()
    let line = tool + [program ?? Self.executable.path] + arguments
    process.executableURL = URL(fileURLWithPath: line[0])
    process.arguments = Array(line.dropFirst())
    // The leak checker needs ptrace, which a tracer has taken.
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["ASAN_OPTIONS": "detect_leaks=0"]) { $1 }
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = terminal ?? errors
    try process.run()
    // Short texts: neither pipe fills up while the other is read.
    self.output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    self.errors =
      terminal == nil
      ? String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) : ""
    process.waitUntilExit()
    status = process.terminationStatus
  }

  /// The path of a tool on the search path.
  static func find(_ tool: String) -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    return path.split(separator: ":").map { "\($0)/\(tool)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

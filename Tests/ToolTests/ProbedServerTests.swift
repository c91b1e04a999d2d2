// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The server whose request path is probed while it runs.
@Suite struct ProbedServerTests {
  /// Tells it lines, and returns what it answers until it ends.
  private func answers(
    _ lines: [String], _ arguments: [String] = []
  ) throws -> (lines: [String], status: Int32) {
    let process = Process()
    process.executableURL = DemoProcess.directory.appendingPathComponent("probed-server")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(
      ["ASAN_OPTIONS": "detect_leaks=0"]) { $1 }
    // A file: a program that ends early must not break a pipe.
    let input = FileManager.default.temporaryDirectory
      .appendingPathComponent("probed-server-\(UUID().uuidString)")
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: input)
    defer { try? FileManager.default.removeItem(at: input) }
    process.standardInput = try FileHandle(forReadingFrom: input)
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (text.split(separator: "\n").map(String.init), process.terminationStatus)
  }

  @Test("attach, load, detach: the histogram's total is the number of requests", arguments: [1, 3])
  func histogram(workers: Int) throws {
    let (lines, status) = try answers(
      [
        "attach latency server.request", "attach count router.*", "load 1000", "wait", "show",
        "detach all", "load 500", "wait", "show", "quit",
      ], ["--workers", "\(workers)"])
    let text = lines.joined(separator: "\n")
    #expect(status == 0, "\(text)")
    #expect(lines.first == "attached 1 server.request: latency", "\(text)")
    #expect(lines.contains("served 1000") && lines.contains("served 1500"), "\(text)")
    #expect(lines.contains { $0.hasPrefix("  total 1000, ") }, "\(text)")
    // The bars add up to it.
    let bars = lines.compactMap { $0.wholeMatch(of: #/  to [0-9]+: ([0-9]+) #+/#)?.1 }
    #expect(bars.compactMap { Int($0) }.reduce(0, +) == 1000, "\(text)")
    #expect(
      lines.contains("2 router.lookUp: count: hits 1000, filtered 0, missed 0"), "\(text)")
    // What came after the detachment has been counted by nobody.
    #expect(lines.contains("detached 1 after 1000 hits"), "\(text)")
    #expect(lines.contains("detached 2 after 1000 hits"), "\(text)")
    #expect(lines.last == "nothing is attached", "\(text)")
  }

  @Test("attach and detach while requests are served, with a filter")
  func live() throws {
    let (lines, status) = try answers([
      "load 2000", "attach count server.request key < 10 && worker == 1", "detach 1", "wait",
      "attach values:key server.request", "attach counts:worker server.request", "load 1000",
      "wait", "show",
    ])
    let text = lines.joined(separator: "\n")
    // The end of the input ends it as well.
    #expect(status == 0, "\(text)")
    let early = try #require(
      lines.compactMap { $0.wholeMatch(of: #/detached 1 after ([0-9]+) hits/#) }.first)
    #expect(try #require(Int(early.1)) <= 20, "\(text)")
    #expect(lines.contains("served 2000") && lines.contains("served 3000"), "\(text)")
    #expect(lines.contains { $0.hasPrefix("  total 1000, ") }, "\(text)")
    // Two workers in turn.
    #expect(lines.contains("  1: 500") && lines.contains("  2: 500"), "\(text)")
  }

  @Test("what makes no sense is told, and the server goes on")
  func mistakes() throws {
    let (lines, status) = try answers([
      "attach latency nothing.*", "attach sum server.request", "attach values:size server.request",
      "attach count server.request key ==", "detach 7", "load none", "attach", "nonsense",
      "points", "load 10", "wait", "quit", "load 10",
    ])
    let text = lines.joined(separator: "\n")
    #expect(status == 0, "\(text)")
    #expect(lines.prefix(8).allSatisfy { $0.hasPrefix("error: ") }, "\(text)")
    #expect(lines.contains("server.request") && lines.contains("router.lookUp"), "\(text)")
    #expect(lines.last == "served 10", "\(text)")
    #expect(try answers([], ["--workers", "0"]).status == 64)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// What the benchmark measures says nothing here: that it measures is tested.
@Suite("server-bench", .timeLimit(.minutes(10)))
struct ServerBenchTests {
  @Test("every part makes its rows, and prints them as JSON")
  func rows() throws {
    let (status, output) = try run(
      "--json --runs 1 --seconds 0.05 --requests 200 --changes 200 2>/dev/null")
    #expect(status == 0, "\(output)")
    #expect(output.hasPrefix("{\"rows\":[{\"name\":\"") && output.hasSuffix("}]}\n"), "\(output)")
    for name in [
      "p99 under load (us)", "loop time per request (us)", "p99, changing thread preempted (us)",
      "wake-ups of sleeping loops per change", "a change's cost to its sender (ns)",
      "access in the loop (ns)", "call to a loop asleep in epoll, p99 (us)",
      "hop to a CPU that sleeps, p50 (us)",
      "statistics of 64 CPUs with threads, 8 work types (us)",
    ] {
      #expect(output.contains("{\"name\":\"\(name)\",\"ours\":"), "\(name) in \(output)")
    }
  }

  @Test("a command line that makes no sense is refused")
  func refusal() throws {
    let (status, output) = try run("--runs none")
    #expect(status == 64)
    #expect(output.hasPrefix("server-bench: --runs wants a positive number"))
  }

  private func run(_ options: String) throws -> (status: Int32, output: String) {
    guard let path = ServerProcess.executable("server-bench") else {
      throw ServerProcess.Failure(sentence: "no server-bench beside the tests")
    }
    guard let pipe = popen("'\(path)' \(options)", "r") else {
      throw ServerProcess.Failure(sentence: "no shell: errno \(errno)")
    }
    var output: [UInt8] = []
    while case let byte = fgetc(pipe), byte != EOF {
      output.append(UInt8(truncatingIfNeeded: byte))
    }
    let status = pclose(pipe)
    return (status & 0x7f == 0 ? status >> 8 & 0xff : -1, String(decoding: output, as: UTF8.self))
  }
}

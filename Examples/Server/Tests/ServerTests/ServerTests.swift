// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite("Server", .timeLimit(.minutes(10)))
struct ServerTests {
  @Test("start, load, kill -TERM: exit status 0, and nothing pending")
  func lifecycle() throws {
    let server = try ServerProcess()
    let clients = try (0..<4).map { _ in try Client(port: server.port) }
    for round in 0..<200 {
      let client = clients[round % clients.count]
      #expect(client.ask("SET key\(round) value \(round)") == "STORED")
      // Its own change at once; another loop's connection when that loop next looks, which is now.
      #expect(client.ask("GET key\(round)") == "VALUE value \(round)")
      let other = clients[(round + 1) % clients.count]
      #expect(other.ask("GET key\(round)") == "VALUE value \(round)")
    }
    #expect(clients[0].ask("COUNT") == "VALUE 200")
    #expect(clients[1].ask("GET nothing") == "NONE")
    #expect(clients[2].ask("DELETE") == "ERROR expected GET key, SET key value or COUNT")
    // The connections are open still.
    let (status, output) = server.terminate()
    #expect(status == 0, "\(output)")
    #expect(output.split(separator: "\n").last == "nothing pending", "\(output)")
    #expect(clients[0].ask("COUNT") == "closed")
  }

  @Test("Prometheus gets the statistics")
  func metrics() throws {
    let server = try ServerProcess()
    let client = try Client(port: server.port)
    #expect(client.ask("SET key value") == "STORED")
    let answer = try Client(port: server.metricsPort).exchange(
      "GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n")
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
    // One send to each of two loops.
    for line in [
      "# TYPE cpuisolation_work_sent_total counter",
      "cpuisolation_work_sent_total{work=\"table\"} 2",
      "# TYPE cpuisolation_work_pending gauge",
    ] {
      #expect(answer.contains(line + "\n"), "\(answer)")
    }
    let other = try Client(port: server.metricsPort).exchange(
      "GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    #expect(other.hasPrefix("HTTP/1.1 404"), "\(other)")
    let interrupts = try Client(port: server.metricsPort).exchange(
      "GET /interrupts HTTP/1.1\r\nhost: here\r\n\r\n")
    #expect(interrupts.hasSuffix("not counted: start it with --interrupts\n"), "\(interrupts)")
    let (status, output) = server.terminate()
    #expect(status == 0, "\(output)")
  }
}

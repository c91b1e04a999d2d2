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
}

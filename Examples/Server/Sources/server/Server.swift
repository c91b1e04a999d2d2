// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import Logging
import ServiceLifecycle

/// `server [PORT]`: serves until SIGTERM, and exits 0 if every thread has left and nothing is pending then.
@main
struct Server {
  static func main() async throws {
    let port = CommandLine.arguments.dropFirst().first.map { Int($0) } ?? 0
    guard let port, (0...65535).contains(port) else {
      print("usage: server [PORT]")
      exit(64)
    }
    let logger = Logger(label: "server")
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    configuration.watchdog?.report = { $0.log(to: logger) }
    let coordinator = try Coordinator(configuration)
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let table = try LoopLocal("table", loops, [String: String]())
    let server = KeyValueServer(loops: loops, table: table, port: port, logger: logger)
    // Ended in reverse: the server's connections first, then the loops.
    try await ServiceGroup(
      services: [loops, server], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
    ).run()
    let pending = coordinator.pendingWork
    print(pending.isEmpty ? "nothing pending" : "pending: \(pending)")
    exit(pending.isEmpty && coordinator.attached.isEmpty ? 0 : 1)
  }
}

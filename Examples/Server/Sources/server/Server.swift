// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import KeyValue
import Logging
import ServiceLifecycle

/// `server [PORT [METRICS-PORT]]`: serves a table, and statistics for Prometheus, until SIGTERM, and exits 0 if every thread has left and nothing is pending then.
@main
struct Server {
  static func main() async throws {
    let ports = CommandLine.arguments.dropFirst().map { Int($0) }
    guard ports.count <= 2, ports.allSatisfy({ $0.map((0...65535).contains) == true }) else {
      print("usage: server [PORT [METRICS-PORT]]")
      exit(64)
    }
    let (port, metricsPort) = (ports.first ?? 0, ports.dropFirst().first ?? 0)
    let logger = Logger(label: "server")
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    configuration.watchdog?.report = { $0.log(to: logger) }
    let coordinator = try Coordinator(configuration)
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let table = try LoopLocal("table", loops, [String: String]())
    let server = KeyValueServer(loops.group, table: table, port: port ?? 0, logger: logger)
    let metrics = MetricsEndpoint(coordinator: coordinator, port: metricsPort ?? 0)
    // Ended in reverse: the server's connections first, then the loops.
    try await ServiceGroup(
      services: [loops, metrics, server], gracefulShutdownSignals: [.sigterm, .sigint],
      logger: logger
    ).run()
    let pending = coordinator.pendingWork
    print(pending.isEmpty ? "nothing pending" : "pending: \(pending)")
    exit(pending.isEmpty && coordinator.attached.isEmpty ? 0 : 1)
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import KeyValue
import Logging
import ServiceLifecycle

/// `server [--quiet] [--interrupts] [PORT [METRICS-PORT]]`: serves a table, and statistics for Prometheus, until SIGTERM, and
/// exits 0 if every thread has left and nothing is pending then. With `--quiet` the process's memory is set up so that it
/// interrupts no loop; with `--interrupts`, as root, `GET /interrupts` says what has interrupted the loops' processors.
@main
struct Server {
  private let coordinator: Coordinator
  private let options: Options
  private let account: InterruptAccount?
  private let logger = Logger(label: "server")

  static func main() throws {
    guard let options = Options(CommandLine.arguments.dropFirst()) else {
      print("usage: server [--quiet] [--interrupts] [PORT [METRICS-PORT]]")
      exit(64)
    }
    let server = try Server(options)
    // The threads of the program that are no loops, those of Swift's tasks among them, stay off the loops' processors:
    // a thread that is woken there is an interrupt.
    server.coordinator.keepingOffIsolatedProcessors {
      Task.detached {
        do {
          exit(try await server.serve() ? 0 : 1)
        } catch {
          print("server: \(error)")
          exit(1)
        }
      }
      while true { pause() }
    }
  }

  private init(_ options: Options) throws {
    self.options = options
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    let logger = logger
    configuration.watchdog?.report = { $0.log(to: logger) }
    coordinator = try Coordinator(configuration)
    // Before the loops start: turning the kernel's trace on interrupts every processor.
    account = options.countsInterrupts ? InterruptAccount(configuration.isolated) : nil
  }

  /// Serves until a signal ends it.
  ///
  /// - Returns: whether every thread has left, and nothing is pending.
  private func serve() async throws -> Bool {
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let unbound = try await Placement.bind(loops)
    if !unbound.isEmpty {
      logger.warning("not bound to their processors: loops of CPUs \(unbound)")
    }
    let table = try LoopLocal("table", loops, [String: String]())
    let server = KeyValueServer(loops.group, table: table, port: options.port, logger: logger)
    let metrics = MetricsEndpoint(
      coordinator: coordinator, account: account, port: options.metricsPort)
    if options.isQuiet {
      for refusal in coordinator.quietMemory().report.refusals { logger.warning("\(refusal)") }
    }
    // Ended in reverse: the server's connections first, then the loops.
    try await ServiceGroup(
      services: [loops, metrics, server], gracefulShutdownSignals: [.sigterm, .sigint],
      logger: logger
    ).run()
    account?.end()
    let pending = coordinator.pendingWork
    print(pending.isEmpty ? "nothing pending" : "pending: \(pending)")
    return pending.isEmpty && coordinator.attached.isEmpty
  }
}

/// What the command line asks for.
private struct Options {
  var isQuiet = false
  var countsInterrupts = false
  var port = 0
  var metricsPort = 0

  /// Nil for what is no command line.
  init?(_ arguments: some Sequence<String>) {
    var ports: [Int] = []
    for argument in arguments {
      switch argument {
      case "--quiet": isQuiet = true
      case "--interrupts": countsInterrupts = true
      default:
        guard let port = Int(argument), (0...65535).contains(port) else { return nil }
        ports.append(port)
      }
    }
    guard ports.count <= 2 else { return nil }
    port = ports.first ?? 0
    metricsPort = ports.dropFirst().first ?? 0
  }
}

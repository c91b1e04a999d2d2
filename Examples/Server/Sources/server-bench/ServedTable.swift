// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Dispatch
import Glibc
import KeyValue
import Logging
import NIOPosix

/// The process that is loaded: the key-value server on two loops. It changes its table between the lines `begin` and
/// `end` of its standard input, and exits with it.
enum ServedTable {
  private static let loopCount = 2

  static func run(_ variant: Variant, _ options: Options) async throws {
    let table = Options.table(options.keys)
    switch variant {
    case .ours:
      let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1, 2]))
      let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
      try await serve(loops.group, LoopLocal("table", loops, table), options)
    case .broadcast:
      let group = MultiThreadedEventLoopGroup(numberOfThreads: loopCount)
      try await serve(group, BroadcastTable(group, table), options)
    case .box: try await serve(BoxTable(table), options)
    case .mutex: try await serve(MutexTable(table), options)
    case .atomic: try await serve(AtomicTable(table), options)
    }
  }

  private static func serve(_ table: some KeyValueTable, _ options: Options) async throws {
    try await serve(MultiThreadedEventLoopGroup(numberOfThreads: loopCount), table, options)
  }

  private static func serve(
    _ group: MultiThreadedEventLoopGroup, _ table: some KeyValueTable, _ options: Options
  ) async throws {
    let logger = Logger(label: "server-bench") { _ in SwiftLogNoOpLogHandler() }
    let server = KeyValueServer(group, table: table, port: 0, logger: logger)
    let serving = Task { try await server.run() }
    await withCheckedContinuation { continuation in
      DispatchQueue(label: "commands").async {
        follow(table, options)
        continuation.resume()
      }
    }
    serving.cancel()
    try await serving.value
  }

  private static func follow<Table: KeyValueTable>(_ table: Table, _ options: Options) {
    var changer: Changer<Table>? = nil
    var lines = LineReader(file: 0)
    while let line = lines.next() {
      if line == "begin" {
        changer = Changer(table, options)
      } else if line == "end" {
        let answer = Array("changes \(changer?.stop() ?? 0)\n".utf8)
        _ = write(1, answer, answer.count)
      }
    }
  }
}

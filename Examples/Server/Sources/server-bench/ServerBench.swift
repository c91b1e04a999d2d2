// SPDX-License-Identifier: Apache-2.0

import Glibc

/// `server-bench`: figures of the key-value server beside those of the same server with other means.
@main
struct ServerBench {
  static func main() async throws {
    let options: Options
    do {
      options = try Options(CommandLine.arguments.dropFirst())
    } catch {
      print("server-bench: \(error.sentence)\n\n\(Options.usage)")
      exit(64)
    }
    if let variant = options.serves {
      try await ServedTable.run(variant, options)
      exit(0)
    }
    var rows: [Row] = []
    for part in options.parts ?? Options.Part.allCases {
      switch part {
      case .load: rows += try LoadRows.all(options)
      case .busy: rows += try LoadRows.busy(options)
      case .preempted: rows += try LoadRows.preempted(options)
      case .loops: rows += try await LoopRows.all(options)
      case .executor: rows.append(try await ExecutorRow.hop(options))
      case .samples: rows += try SampleRows.all(options)
      }
    }
    print(options.printsJSON ? Row.json(rows) : Row.table(rows))
    exit(options.checks && !rows.allSatisfy(\.isOK) ? 1 : 0)
  }
}

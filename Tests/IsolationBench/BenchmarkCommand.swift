// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// The command, from its arguments to its exit status.
enum BenchmarkCommand {
  static func run(arguments: some Sequence<String>) -> Int32 {
    let names = Benchmark.catalog.map(\.name)
    do {
      let options = try BenchmarkOptions(arguments: arguments, rowNames: names)
      if options.printsHelp {
        print(BenchmarkOptions.help(rowNames: names), terminator: "")
        return 0
      }
      if let sends = options.neverEntersSends { return try neverEnters(sends, options) }
      if options.printsPoolTable {
        print(PoolTable.measure(), terminator: "")
        return 0
      }
      if options.printsProbeTable {
        print(try ProbeTable.measure(), terminator: "")
        return 0
      }
      if options.printsGrowthTable {
        print(try GrowthTable.measure(), terminator: "")
        return 0
      }
      return try rows(options)
    } catch let error as UsageError {
      report(error.message)
      return UsageError.exitStatus
    } catch {
      report("\(error)")
      return 1
    }
  }

  private static func rows(_ options: BenchmarkOptions) throws(IsolationError) -> Int32 {
    let stage = try Stage()
    var rows: [BenchmarkRow] = []
    for benchmark in Benchmark.catalog where options.selects(benchmark.name) {
      if let reason = stage.missing(for: benchmark.requirement) {
        report("\(benchmark.name) is left out: \(reason)")
        continue
      }
      if let count = options.onceCount {
        let side = options.runsPeer ? benchmark.peers.first?.sample : benchmark.ours
        _ = side?(stage, count)
        continue
      }
      rows.append(benchmark.run(on: stage))
    }
    if options.onceCount != nil { return 0 }
    if options.printsJSON {
      var json = JSONWriter()
      json.object { json in
        json.member("rows") { json in
          json.array { json in
            for row in rows { row.write(to: &json) }
          }
        }
      }
      print(json.text)
    } else {
      let machine = Machine(stage)
      print(
        machine.text + BenchmarkTable(rows, nanosecondsPerCycle: machine.nanosecondsPerCycle).text,
        terminator: "")
    }
    return options.checks && !rows.allSatisfy(\.isOK) ? 1 : 0
  }

  private static func neverEnters(
    _ sends: UInt64, _ options: BenchmarkOptions
  ) throws(IsolationError) -> Int32 {
    let result = try NeverEnters.run(sends: sends)
    if options.printsJSON {
      var json = JSONWriter()
      result.write(to: &json)
      print(json.text)
    } else {
      print(result.text, terminator: "")
    }
    let complaints = result.complaints()
    for complaint in complaints { report(complaint) }
    return complaints.isEmpty ? 0 : 1
  }

  private static func report(_ message: String) {
    // Standard output first: the two may be one terminal.
    fflush(nil)
    let line = "isolation-bench: \(message)\n"
    _ = unsafe line.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
  }
}

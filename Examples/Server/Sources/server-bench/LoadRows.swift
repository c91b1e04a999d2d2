// SPDX-License-Identifier: Apache-2.0

import CMachine
import Glibc

/// The server under load, its table protected in one way after the other.
enum LoadRows {
  /// What one variant showed, a value per run.
  private struct Figures {
    var p99: [Double] = []
    /// Processor time of the loops, in microseconds per request.
    var busy: [Double] = []
    var changes: [Double] = []
  }

  /// The table is changed by a thread like others.
  static func all(_ options: Options) throws -> [Row] {
    let figures = try measure(Variant.allCases, options, isPreempted: false)
    let ours = figures[.ours]!
    return Variant.allCases.dropFirst().map { variant in
      Row(
        "p99 under load (us)", ours.p99, against: variant.title, figures[variant]!.p99,
        // Against the others it has to be no worse than they are, beside the noise.
        budget: variant == .broadcast ? 0.25 : 1.5)
    } + [
      Row(
        "loop time per request (us)", ours.busy, against: Variant.broadcast.title,
        figures[.broadcast]!.busy, budget: 0.55)
    ]
  }

  /// So many requests that the loops have little time to spare.
  static func busy(_ options: Options) throws -> [Row] {
    var options = options
    options.requests = options.busyRequests
    let figures = try measure([.ours, .broadcast], options, isPreempted: false)
    return [
      Row(
        "p99 of busy loops (us)", figures[.ours]!.p99, against: Variant.broadcast.title,
        figures[.broadcast]!.p99, budget: 0.25)
    ]
  }

  /// The thread that changes it loses its processor in the middle of a change.
  static func preempted(_ options: Options) throws -> [Row] {
    let figures = try measure([.ours, .box, .mutex], options, isPreempted: true)
    return [Variant.box, .mutex].map { variant in
      Row(
        "p99, changing thread preempted (us)", figures[.ours]!.p99, against: variant.title,
        figures[variant]!.p99, budget: 0.1)
    }
  }

  private static func measure(
    _ variants: [Variant], _ options: Options, isPreempted: Bool
  ) throws -> [Variant: Figures] {
    var figures: [Variant: Figures] = [:]
    _ = machine_wake_on_time()
    for run in 0..<options.runs {
      for step in variants.indices {
        // Each comes first as often as the others.
        let variant = variants[(run + step) % variants.count]
        try measure(variant, options, isPreempted, &figures[variant, default: Figures()])
      }
    }
    for variant in variants {
      let figures = figures[variant]!
      note(
        "\(isPreempted ? "preempted" : "load") \(variant.rawValue): p99 us \(spread(figures.p99)); "
          + "loop us a request \(spread(figures.busy)); changes a second \(spread(figures.changes))"
      )
    }
    return figures
  }

  private static func measure(
    _ variant: Variant, _ options: Options, _ isPreempted: Bool, _ figures: inout Figures
  ) throws {
    let server = try ServedProcess(variant, options, isPreempted: isPreempted)
    if isPreempted {
      // The last processor is left to the changing thread and the busy one beside it.
      let others = Array(Machine.processors.dropLast())
      if !others.isEmpty {
        Machine.bind(to: others)
        Machine.bindThreads(of: server.process, to: others)
      }
    }
    defer { if isPreempted { Machine.bind(to: Machine.processors) } }
    var load = try Load(server.port, options)
    defer { load.close() }
    _ = try load.run(seconds: min(0.3, options.seconds))
    server.begin()
    let before = try LoopTimes(of: server.process)
    let start = Machine.now
    let times = try load.run(seconds: options.seconds)
    let after = try LoopTimes(of: server.process)
    let took = Double(Machine.now - start) / 1e9
    figures.p99.append(times.quantile(0.99))
    figures.busy.append((after.busy - before.busy) / 1000 / Double(times.count))
    figures.changes.append(Double(try server.end()) / took)
  }

  private static func spread(_ values: [Double]) -> String {
    "\(Int(values.median * 100) / 100) (\(Int(values.min() ?? 0))–\(Int(values.max() ?? 0)))"
  }

  /// On standard error: the rows alone are on standard output.
  private static func note(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(2, bytes, bytes.count)
  }
}

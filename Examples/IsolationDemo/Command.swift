// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace
import Glibc

/// The command `isolation-demo`, from its arguments to its exit status.
///
/// Apart from the main type, whose functions belong to the main actor: a closure made there must
/// not run on another thread.
enum Command {
  enum Status {
    static let success: Int32 = 0
    static let unsound: Int32 = 1
    /// `EX_USAGE` and `EX_OSERR` of `sysexits.h`.
    static let usage: Int32 = 64
    static let refused: Int32 = 71
  }

  static func run(_ arguments: [String]) -> Int32 {
    let processors = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    do {
      switch try Options.parse(arguments, processors: processors) {
      case .help:
        print(Options.help, terminator: "")
        return Status.success
      case .run(let options): return run(options, processors: processors)
      }
    } catch {
      StandardError.write("isolation-demo: \(error)\nTry isolation-demo --help.\n")
      return Status.usage
    }
  }

  private static func run(_ options: Options, processors: Int) -> Int32 {
    let introduction = introduction(options, processors: processors)
    if options.isJSON {
      for sentence in [introduction.broken, introduction.warning].compactMap(\.self) {
        StandardError.write("isolation-demo: \(sentence)\n")
      }
    } else {
      if let broken = introduction.broken { print(broken) }
      print(introduction.text)
      if let warning = introduction.warning { print("Note: \(warning)") }
      print()
      // Whoever waits for ten seconds wants to know what for.
      fflush(nil)
    }
    do {
      let progress = Progress()
      if let probes = options.probes {
        let report = try ProbeLoad(options, probes: probes).run(progress)
        print(options.isJSON ? report.json : report.text, terminator: "")
        return report.isSound ? Status.success : Status.unsound
      }
      var modes: [ModeReport] = []
      var traces: [HalfTrace] = []
      for mode in options.modes {
        let half = try Experiment(mode, options).run(progress)
        modes.append(half.report)
        if options.traceFile != nil || options.reportFile != nil { traces.append(half.trace) }
        if half.report.legality.violations > 0 { break }
      }
      let isWhole = options.broken == nil && modes.allSatisfy { $0.legality.violations == 0 }
      let report = DemoReport(
        modes: modes, badCase: isWhole ? try BadCase(options).run(progress) : nil)
      print(options.isJSON ? report.json + "\n" : report.text, terminator: "")
      for sentence in modes.compactMap(\.disagreement) + modes.compactMap(\.violation) {
        StandardError.write("isolation-demo: \(sentence)\n")
      }
      try write(traces, options)
      return report.isSound ? Status.success : Status.unsound
    } catch let error as TraceFilter.ParseError {
      // The addresses of functions were not known when the options were read.
      StandardError.write("isolation-demo: --filter:\n\(error.report)")
      return Status.usage
    } catch {
      StandardError.write("isolation-demo: \(error)\n")
      return Status.refused
    }
  }

  private static func write(_ traces: [HalfTrace], _ options: Options) throws(TraceFileError) {
    guard !traces.isEmpty else { return }
    if let file = options.traceFile {
      try TraceRecording(halves: traces).write(.traceDat, to: file)
      if !options.isJSON { print("wrote \(file)") }
    }
    if let file = options.reportFile {
      let parts = zip(options.modes, traces).map { mode, trace in
        HTMLReport.Part(
          TraceRecording(halves: [trace]), title: traces.count > 1 ? mode.rawValue : "",
          isolated: options.isolated)
      }
      try HTMLReport(parts).write(to: file)
      if !options.isJSON { print("wrote \(file)") }
    }
  }

  /// What runs where, and whether the machine is too small for it.
  static func introduction(
    _ options: Options, processors: Int
  ) -> (text: String, warning: String?, broken: String?) {
    let broken = options.broken?.sentence
    let cpus = options.housekeeping.union(options.isolated)
    let text =
      "housekeeping CPUs \(options.housekeeping), isolated CPUs \(options.isolated), "
      + "\(decimal(options.duration / .seconds(1), 1)) s per mode"
    if cpus.count > processors {
      return (
        text,
        "\(cpus.count) CPUs outnumber \(processors) processors: threads take turns, "
          + "and their noise is each other", broken
      )
    }
    let unbound = CPUMask(cpus.filter { $0 >= processors })
    if !unbound.isEmpty {
      return (
        text, "there are \(processors) processors: CPUs \(unbound) are not bound to one", broken
      )
    }
    return (text, nil, broken)
  }
}

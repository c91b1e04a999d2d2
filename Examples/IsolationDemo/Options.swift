// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What the command line asks for.
struct Options: Equatable, Sendable {
  var modes = Mode.allCases
  var duration = Duration.seconds(5)
  var housekeeping: CPUMask
  var isolated: CPUMask
  var isJSON = false
  /// Whether the kernel is asked what it interrupted isolated CPUs for.
  var asksKernel = false
  /// How many probes there are to be, in the place of the usual load.
  var probes: Int?
  /// The order that is wrong on purpose.
  var broken: BrokenOrder?
  /// What is recorded, and under which filters.
  var events: [RecordedEvent]
  /// Where the recorded events are written.
  var traceFile: String?
  var reportFile: String?

  /// What to do: run, or explain.
  enum Invocation: Equatable {
    case run(Options)
    case help
  }

  /// A command line that cannot be followed; the message names the option.
  struct UsageError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
  }

  static let longestDuration = 86400.0
  /// CPU numbers beyond this are a slip of the finger: every CPU is a thread that spins.
  static let width = 1024

  static let help = """
    usage: isolation-demo [options]

    Runs the same load twice: housekeeping threads send work to isolated threads, first every send
    by a signal, then deferred until the isolated threads enter kernel by themselves. Prints how
    often isolated threads were interrupted, and by what. Every other burst of sends is in earnest:
    code is patched, memory is mapped elsewhere, freed, poisoned and handed out again, timers are
    brought forward. Isolated threads execute that code and read that memory whenever they enter,
    and judge whether it was legal at that moment.

      --mode immediate|deferred|both  which halves to run (both)
      --duration SECONDS              how long each half runs (5)
      --housekeeping LIST             the CPUs that send, such as 0 or 0-1,4
      --isolated LIST                 the CPUs that are sent to
      --json                          print one JSON object
      --kernel                        print the kernel's own count of interrupts too, with senders;
                                      where tracefs may not be written, say so
      --probes N                      something else: N points under load, half of which are probed
                                      and left alone in ten steps, again and again
      --break ORDER                   run something that is wrong on purpose; deferred alone,
                                      unless --mode says otherwise
      --filter [EVENT:]EXPR           which events are recorded; may be repeated
      --trace FILE                    write them as trace.dat, for trace-cmd and KernelShark
      --report FILE                   write them as a page of HTML, and record deferrals too
      --help                          print this

    CPU n is a thread on processor n where there is one.

    Orders to break: early-touch (a handler reads through cached translations before their flush
    has run), reuse (frames are handed out again before every CPU has dropped them) and
    flag-after-flush (CPUs catch up first, and say afterwards that they are in kernel). The first
    violation ends a run.

    The table of interrupts is counted from recorded events: ipi_send_cpu under the filter
    'cpu & CPUS{isolated}' and ipi_send_cpumask under 'cpumask & CPUS{isolated}'. An EXPR that
    names cpumask takes the place of the second, one that names cpu that of the first, any other
    that of both. With EVENT it is for that one, which is recorded besides if it is another;
    an empty EXPR asks nothing. In CPUS{}, isolated and housekeeping stand for the lists. A trace.dat
    holds all halves that ran, one after the other; a page shows them side by side, with the events
    deferred_work_set, deferred_work_merge and deferred_work_drain under 'cpu & CPUS{isolated}'.

    With --kernel the kernel's trace counts every interrupt of the processors of isolated CPUs, from
    whatever process, before and after the last thread has started. How often it says that signals
    were sent is compared with the statistics.

    Exit status: 0, 1 if a send was lost, something illegal was seen, or counts do not add up or
    differ between trace, kernel and statistics, 64 for bad options, 71 if the system refuses something.

    """

  /// Reads the arguments after the program's name, for a machine with so many processors.
  static func parse(
    _ arguments: [String], processors: Int
  ) throws(UsageError) -> Invocation {
    var modes: [Mode]?
    var duration = Duration.seconds(5)
    var broken: BrokenOrder?
    var housekeeping: CPUMask?
    var isolated: CPUMask?
    var isJSON = false
    var asksKernel = false
    var probes: Int?
    var filters: [String] = []
    var traceFile: String?
    var reportFile: String?
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--help": return .help
      case "--json": isJSON = true
      case "--kernel": asksKernel = true
      case "--mode": modes = try Self.modes(value(of: option, &rest))
      case "--duration": duration = try Self.duration(value(of: option, &rest))
      case "--housekeeping": housekeeping = try mask(option, value(of: option, &rest))
      case "--isolated": isolated = try mask(option, value(of: option, &rest))
      case "--break": broken = try order(value(of: option, &rest))
      case "--probes": probes = try Self.probes(value(of: option, &rest))
      case "--filter": filters.append(try value(of: option, &rest))
      case "--trace": traceFile = try file(option, value(of: option, &rest))
      case "--report": reportFile = try file(option, value(of: option, &rest))
      default: throw UsageError("unknown option \(option)")
      }
    }
    let cpus = defaults(housekeeping: housekeeping, isolated: isolated, processors: processors)
    let both = cpus.housekeeping.intersection(cpus.isolated)
    guard both.isEmpty else {
      throw UsageError("--housekeeping and --isolated both name \(both)")
    }
    if asksKernel, probes != nil {
      throw UsageError("--kernel is for the usual load, and --probes runs another")
    }
    if let traceFile, traceFile == reportFile {
      throw UsageError("--trace and --report both name \(traceFile)")
    }
    return .run(
      Options(
        modes: modes ?? (broken == nil ? Mode.allCases : [.deferred]), duration: duration,
        housekeeping: cpus.housekeeping, isolated: cpus.isolated,
        isJSON: isJSON, asksKernel: asksKernel, probes: probes, broken: broken,
        events: try RecordedEvent.parse(
          filters, housekeeping: cpus.housekeeping, isolated: cpus.isolated,
          recordsDeferrals: reportFile != nil),
        traceFile: traceFile, reportFile: reportFile))
  }

  /// Fills in what was not said: one CPU that sends to at most three, on processors that exist
  /// where there are enough.
  static func defaults(
    housekeeping: CPUMask?, isolated: CPUMask?, processors: Int
  ) -> (housekeeping: CPUMask, isolated: CPUMask) {
    let senders = housekeeping ?? firstFree(1, besides: isolated ?? [], processors)
    return (senders, isolated ?? firstFree(3, besides: senders, processors))
  }

  /// The lowest processors that are not taken; where there are none, one number that no processor
  /// has.
  private static func firstFree(
    _ count: Int, besides taken: CPUMask, _ processors: Int
  ) -> CPUMask {
    let free = (0..<processors).lazy.filter { !taken.contains($0) }.prefix(count)
    if !free.isEmpty { return CPUMask(free) }
    return CPUMask(max(processors, (taken.last ?? -1) + 1))
  }

  private static func value(
    of option: String, _ rest: inout ArraySlice<String>
  ) throws(UsageError) -> String {
    guard let value = rest.popFirst() else { throw UsageError("\(option) needs a value") }
    return value
  }

  /// Standard output has the tables already.
  private static func file(_ option: String, _ path: String) throws(UsageError) -> String {
    guard !path.isEmpty, path != "-" else { throw UsageError("\(option) needs a file") }
    return path
  }

  private static func modes(_ text: String) throws(UsageError) -> [Mode] {
    if text == "both" { return Mode.allCases }
    guard let mode = Mode(rawValue: text) else {
      throw UsageError("--mode is immediate, deferred or both, not \"\(text)\"")
    }
    return [mode]
  }

  private static func order(_ text: String) throws(UsageError) -> BrokenOrder {
    guard let order = BrokenOrder(rawValue: text) else {
      let all = BrokenOrder.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError("--break is one of \(all), not \"\(text)\"")
    }
    return order
  }

  private static func duration(_ text: String) throws(UsageError) -> Duration {
    guard let seconds = Double(text), seconds > 0, seconds <= longestDuration else {
      throw UsageError(
        "--duration is a number of seconds above 0 and up to \(Int(longestDuration)), "
          + "not \"\(text)\"")
    }
    return .seconds(seconds)
  }

  private static func probes(_ text: String) throws(UsageError) -> Int {
    guard let probes = Int(text), (20...1_000_000).contains(probes) else {
      throw UsageError("--probes is a number from 20 to 1000000, not \"\(text)\"")
    }
    return probes
  }

  private static func mask(_ option: String, _ text: String) throws(UsageError) -> CPUMask {
    let mask: CPUMask
    do {
      mask = try CPUMask(cpuList: text, width: width)
    } catch {
      throw UsageError("\(option): \(error)")
    }
    if mask.isEmpty { throw UsageError("\(option) needs at least one CPU") }
    return mask
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What the command line asks for.
struct Options: Equatable, Sendable {
  var modes = Mode.allCases
  var duration = Duration.seconds(5)
  var housekeeping: CPUMask
  var isolated: CPUMask
  var isJSON = false

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
    often isolated threads were interrupted, and by what.

      --mode immediate|deferred|both  which halves to run (both)
      --duration SECONDS              how long each half runs (5)
      --housekeeping LIST             the CPUs that send, such as 0 or 0-1,4
      --isolated LIST                 the CPUs that are sent to
      --json                          print one JSON object
      --help                          print this

    CPU n is a thread on processor n where there is one.
    Exit status: 0, 1 if a send was lost or the counts do not add up, 64 for bad options, 71 if
    the system refuses something.

    """

  /// Reads the arguments behind the program's name, for a machine with so many processors.
  static func parse(
    _ arguments: [String], processors: Int
  ) throws(UsageError) -> Invocation {
    var modes = Mode.allCases
    var duration = Duration.seconds(5)
    var housekeeping: CPUMask?
    var isolated: CPUMask?
    var isJSON = false
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--help": return .help
      case "--json": isJSON = true
      case "--mode": modes = try Self.modes(value(of: option, &rest))
      case "--duration": duration = try Self.duration(value(of: option, &rest))
      case "--housekeeping": housekeeping = try mask(option, value(of: option, &rest))
      case "--isolated": isolated = try mask(option, value(of: option, &rest))
      default: throw UsageError("unknown option \(option)")
      }
    }
    let cpus = defaults(housekeeping: housekeeping, isolated: isolated, processors: processors)
    let both = cpus.housekeeping.intersection(cpus.isolated)
    guard both.isEmpty else {
      throw UsageError("--housekeeping and --isolated both name \(both)")
    }
    return .run(
      Options(
        modes: modes, duration: duration, housekeeping: cpus.housekeeping, isolated: cpus.isolated,
        isJSON: isJSON))
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

  private static func modes(_ text: String) throws(UsageError) -> [Mode] {
    if text == "both" { return Mode.allCases }
    guard let mode = Mode(rawValue: text) else {
      throw UsageError("--mode is immediate, deferred or both, not \"\(text)\"")
    }
    return [mode]
  }

  private static func duration(_ text: String) throws(UsageError) -> Duration {
    guard let seconds = Double(text), seconds > 0, seconds <= longestDuration else {
      throw UsageError(
        "--duration is a number of seconds above 0 and up to \(Int(longestDuration)), "
          + "not \"\(text)\"")
    }
    return .seconds(seconds)
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

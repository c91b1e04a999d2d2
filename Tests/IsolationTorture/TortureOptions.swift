// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct TortureOptions: Sendable {
  var seconds = 10
  var seed: UInt64 = 1
  var faults: Set<Fault> = []
  var bug: SeededBug? = nil
  var printsHelp = false
  var listsBugs = false

  /// A command line that makes no sense: exit status 64, as `sysexits.h` has it.
  struct UsageError: Error {
    static let exitStatus: Int32 = 64
    let message: String
  }

  /// Reads the arguments after the program's name.
  init(arguments: some Sequence<String>) throws(UsageError) {
    var rest = Array(arguments)[...]
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h": printsHelp = true
      case "--seconds":
        seconds = Int(try Self.number(of: argument, &rest, in: 1...1_000_000))
      case "--seed": seed = try Self.number(of: argument, &rest, in: 0...UInt64.max)
      case "--faults": faults = try Self.faults(try Self.value(of: argument, &rest))
      case "--seed-bug":
        let name = try Self.value(of: argument, &rest)
        if name == "list" {
          listsBugs = true
        } else if let bug = SeededBug(rawValue: name) {
          self.bug = bug
        } else {
          throw UsageError(message: "there is no bug \"\(name)\"; --seed-bug list prints them")
        }
      default: throw UsageError(message: "unknown option \"\(argument)\"")
      }
    }
  }

  private static func value(
    of option: String, _ rest: inout ArraySlice<String>
  ) throws(UsageError) -> String {
    guard let value = rest.popFirst() else {
      throw UsageError(message: "\(option) wants a value")
    }
    return value
  }

  private static func number(
    of option: String, _ rest: inout ArraySlice<String>, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    let text = try value(of: option, &rest)
    guard let number = UInt64(text), range.contains(number) else {
      throw UsageError(
        message:
          "\(option) wants a number from \(range.lowerBound) to \(range.upperBound), not \"\(text)\""
      )
    }
    return number
  }

  private static func faults(_ list: String) throws(UsageError) -> Set<Fault> {
    if list == "all" { return Set(Fault.allCases) }
    if list == "none" { return [] }
    var faults: Set<Fault> = []
    for name in list.split(separator: ",", omittingEmptySubsequences: false) {
      guard let fault = Fault(rawValue: String(name)) else {
        throw UsageError(message: "there is no fault \"\(name)\"; --help lists them")
      }
      faults.insert(fault)
    }
    return faults
  }

  /// The command line that does the same again.
  var replay: String {
    let names = Fault.allCases.filter(faults.contains).map(\.rawValue)
    let list = names.count == Fault.allCases.count ? ["all"] : names
    return "isolation-torture --seconds \(seconds) --seed \(seed)"
      + (list.isEmpty ? "" : " --faults \(list.joined(separator: ","))")
      + (bug.map { " --seed-bug \($0.rawValue)" } ?? "")
  }
}

extension TortureOptions {
  static var help: String {
    """
    isolation-torture [--seconds N] [--seed N] [--faults LIST|all] [--seed-bug NAME|list]

    Drives random mixes of every public operation of CPUIsolation from many threads, on several
    coordinators at once, and looks for what must not happen: work that is lost, early, late or on
    the wrong CPU, memory that is used after it was given up, accounts that do not balance, calls
    that do not end, memory that grows. Prints a line a second and a verdict.

      --seconds N      how long (default 10)
      --seed N         what threads draw from (default 1); the interleaving is not replayed
      --faults LIST    what goes wrong around the library, with commas between; all, or none (default)
      --seed-bug NAME  makes one mistake on purpose, which the run has to notice; list prints them
      --help           prints this

    Exit status: 0 without violations, 1 with any, 64 for a command line that makes no sense. SIGINT
    and SIGTERM end a run early, with the verdict on what there is.

    Faults:
    \(Fault.allCases.map { "  \($0.rawValue): \($0.sentence)" }.joined(separator: "\n"))

    """
  }

  static var bugs: String {
    SeededBug.allCases.map { "\($0.rawValue): \($0.sentence)" }.joined(separator: "\n")
  }
}

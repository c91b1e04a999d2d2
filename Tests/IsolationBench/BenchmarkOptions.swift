// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct BenchmarkOptions: Equatable {
  var printsJSON = false
  var checks = false
  var printsHelp = false
  /// The rows to run; nil is all of them.
  var selection: [String]? = nil
  /// How many operations one side of the rows does, once, without being measured; nil measures.
  var onceCount: Int? = nil
  /// Whether that side is the peer.
  var runsPeer = false
  /// How often the experiment `never-enters` sends; nil if it is not asked for.
  var neverEntersSends: UInt64? = nil

  /// The name under which `--only` knows the experiment that is no row.
  static let neverEnters = "never-enters"
  static let defaultSends: UInt64 = 100_000_000
  /// Whether the experiment `pool-table` is asked for.
  var printsPoolTable = false
  static let poolTable = "pool-table"
  /// Whether the experiment `probe-table` is asked for.
  var printsProbeTable = false
  static let probeTable = "probe-table"
  /// Whether the experiment `growth-table` is asked for.
  var printsGrowthTable = false
  static let growthTable = "growth-table"
  /// Names for several families of rows.
  /// The experiments that print a table of their own.
  static let tables = [poolTable, probeTable, growthTable]
  static let groups = ["probes": ["probe", "lookup", "region"]]

  /// Reads the arguments after the program's name.
  ///
  /// - Parameter rowNames: the rows that there are. `--only` takes the name of a row, or the part
  ///   before its colon.
  init(arguments: some Sequence<String>, rowNames: [String]) throws(UsageError) {
    var rest = Array(arguments)[...]
    var sends: UInt64? = nil
    while let argument = rest.popFirst() {
      switch argument {
      case "--json": printsJSON = true
      case "--check": checks = true
      case "--help", "-h": printsHelp = true
      case "--only": selection = try Self.names(Self.value(of: argument, &rest), rowNames)
      case "--sends":
        let text = try Self.value(of: argument, &rest)
        guard let count = UInt64(text), count > 0 else {
          throw UsageError("--sends wants a positive number, not \"\(text)\"")
        }
        sends = count
      case "--once":
        let text = try Self.value(of: argument, &rest)
        guard let count = Int(text), count > 0 else {
          throw UsageError("--once wants a positive number, not \"\(text)\"")
        }
        onceCount = count
      case "--peer": runsPeer = true
      default: throw UsageError("unknown option \"\(argument)\"")
      }
    }
    if runsPeer && onceCount == nil { throw UsageError("--peer goes with --once") }
    if selection?.contains(Self.neverEnters) == true {
      guard selection?.count == 1 else {
        throw UsageError("\(Self.neverEnters) is an experiment of its own and cannot be combined")
      }
      neverEntersSends = sends ?? Self.defaultSends
    } else if selection == [Self.poolTable], sends == nil {
      printsPoolTable = true
    } else if selection == [Self.probeTable], sends == nil {
      printsProbeTable = true
    } else if selection == [Self.growthTable], sends == nil {
      printsGrowthTable = true
    } else if let table = Self.tables.first(where: {
      selection?.contains($0) == true && selection?.count != 1
    }) {
      throw UsageError("\(table) is an experiment of its own and cannot be combined")
    } else if sends != nil {
      throw UsageError("--sends goes with --only \(Self.neverEnters)")
    }
  }

  /// Whether `--only` selects the row.
  func selects(_ row: String) -> Bool {
    guard let selection else { return true }
    let family = Self.family(of: row)
    return selection.contains { name in
      name == row || name == family || Self.groups[name]?.contains(family) == true
    }
  }

  private static func family(of row: String) -> String { String(row.prefix { $0 != ":" }) }

  private static func value(
    of option: String, _ rest: inout ArraySlice<String>
  ) throws(UsageError) -> String {
    guard let value = rest.popFirst() else { throw UsageError("\(option) wants a value") }
    return value
  }

  private static func names(_ list: String, _ rowNames: [String]) throws(UsageError) -> [String] {
    let names = list.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    for name in names where !([neverEnters] + tables).contains(name) {
      let families = groups[name] ?? [name]
      if !rowNames.contains(where: { $0 == name || families.contains(family(of: $0)) }) {
        throw UsageError("there is no row \"\(name)\"; --help lists them")
      }
    }
    return names
  }
}

/// A command line that makes no sense: exit status 64, as `sysexits.h` has it.
struct UsageError: Error, Equatable {
  static let exitStatus: Int32 = 64
  let message: String

  init(_ message: String) { self.message = message }
}

extension BenchmarkOptions {
  static func help(rowNames: [String]) -> String {
    """
    isolation-bench [--json] [--check] [--only NAME,…]
    isolation-bench --only NAME,… --once N [--peer]
    isolation-bench --only never-enters [--sends N] [--json]
    isolation-bench --only pool-table
    isolation-bench --only probe-table
    isolation-bench --only growth-table

    Measures each operation beside the same operation in C, or beside the system's own
    way to the same end, interleaved in one run. A ratio is ours over the peer's, the median
    of the rounds; a row is ok while it does not exceed its budget. The figures of the rows
    allocations and retains are counts per thousand operations.

      --json         prints one JSON object instead of the table
      --check        exits 1 when a row is not ok
      --only NAME,…  runs these rows: a whole name, or the part before the colon for a
                     row and its variants; "probes" is probe, lookup and region
      --once N       does N operations of each row once, and measures nothing: for a profiler
                     and simulators of caches (Tests/Benchmarks/cache-misses)
      --peer         those of the peer in place of ours
      --sends N      how often never-enters sends (default \(defaultSends))
      --help         prints this

    never-enters sends to an isolated CPU that stays in user. It prints resident memory
    before and after, the time of a send in the first and in the last tenth, and how
    often the handler ran after one entry. It exits 1 if memory grew or the handler did
    not run exactly once.

    pool-table prints how many objects all threads take and give back in a second, by the
    way the pool is kept, its capacity and the number of threads.

    probe-table prints how long it takes to turn on 20 000 of 40 000 probes, 2000 a step,
    while an isolated thread hits them, and how many regions threads look up in a second.

    growth-table prints the nanoseconds of what costs by CPU, with 1 to 64 of them, and of a
    drain of 1 to 61 types.

    Rows:
    \(rowNames.map { "  " + $0 }.joined(separator: "\n"))

    """
  }
}

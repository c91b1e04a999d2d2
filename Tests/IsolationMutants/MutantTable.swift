// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Glibc
  internal import ModelEngine

  /// The table that the command prints, a row at a time.
  struct MutantTable {
    /// What a row says of a mutant, before it is tried.
    struct Row {
      var name: String
      var change: String
      var scenario: String
      var memory: String

      init(_ mutant: Mutant) {
        name = mutant.name
        change = mutant.access
        scenario = mutant.scenario
        memory = mutant.memory.name
      }

      init(_ mutant: PatchMutant) {
        name = mutant.name
        change = mutant.change
        scenario = mutant.scenario
        memory = mutant.memory.name
      }

      /// The beginning of the row.
      var cells: [String] { [name, change, scenario, memory] }
    }

    /// Fields between tabs, with whole schedules: `Tests/ModelTests/Tables/Mutants.tsv`.
    let isTabbed: Bool
    /// Schedules whole, and the failure that they lead to.
    let showsSchedules: Bool
    private(set) var killed = 0

    private static let widths = [34, 50, 42, 8, 10]

    init(isTabbed: Bool, showsSchedules: Bool) {
      self.isTabbed = isTabbed
      self.showsSchedules = showsSchedules
    }

    var head: String {
      let titles = ["mutant", "what is wrong", "killed by", "memory", "executions", "schedule"]
      return (isTabbed ? titles.joined(separator: "\t") : Self.columns(titles)) + "\n"
    }

    /// Prints a row; a mutant that was not killed is told apart too.
    mutating func add(_ row: Row, _ verdict: Mutant.Verdict) {
      print(text(of: row, verdict))
      fflush(nil)
      switch verdict {
      case .killed: killed += 1
      case .survived:
        MutantCommand.report("\(row.name) survived the scenario '\(row.scenario)'")
      case .unresolved(let sentence): MutantCommand.report("\(row.name): \(sentence)")
      }
    }

    private func text(of row: Row, _ verdict: Mutant.Verdict) -> String {
      let outcome: (executions: String, schedule: String, details: [String])
      switch verdict {
      case .killed(let found):
        outcome = (
          "\(found.executions)", shortened(found.schedule ?? ""),
          [found.failure ?? ""] + found.trace.map { "  " + $0 }
        )
      case .survived(let found):
        outcome = ("\(found.executions)", "survived", [found.isExhausted ? "exhausted" : "capped"])
      case .unresolved(let sentence): outcome = ("-", "unresolved", [sentence])
      }
      let cells = row.cells + [outcome.executions, outcome.schedule]
      if isTabbed { return cells.joined(separator: "\t") }
      let line = Self.columns(cells)
      return showsSchedules ? ([line] + outcome.details).joined(separator: "\n  ") : line
    }

    private func shortened(_ schedule: String) -> String {
      if isTabbed || showsSchedules || schedule.count <= 24 { return schedule }
      return schedule.prefix(20) + "…"
    }

    private static func columns(_ cells: [String]) -> String {
      var line = ""
      for (index, cell) in cells.enumerated() {
        line += cell
        guard index < widths.count else { break }
        line += String(repeating: " ", count: max(1, widths[index] - cell.count + 1))
      }
      return line
    }
  }
#endif

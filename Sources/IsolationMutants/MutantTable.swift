// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  /// The table that the command prints, a row at a time.
  struct MutantTable {
    let isMarkdown: Bool
    /// Schedules whole, and the failure that they lead to.
    let showsSchedules: Bool

    private static let widths = [34, 46, 42, 8, 10]

    var head: String {
      let titles = ["mutant", "the access", "killed by", "memory", "executions", "schedule"]
      if isMarkdown {
        return "| " + titles.joined(separator: " | ") + " |\n|---|---|---|---|---:|---|\n"
      }
      return Self.columns(titles) + "\n"
    }

    func row(of mutant: Mutant, _ verdict: Mutant.Verdict) -> String {
      let outcome: (executions: String, schedule: String, failure: String)
      switch verdict {
      case .killed(let found):
        outcome = ("\(found.executions)", shortened(found.schedule ?? ""), found.failure ?? "")
      case .survived(let found):
        outcome = ("\(found.executions)", "survived", found.isExhausted ? "exhausted" : "capped")
      case .unresolved(let sentence): outcome = ("-", "unresolved", sentence)
      }
      let memory = "\(mutant.memory)" == "weak" ? "weak" : "TSO"
      if isMarkdown {
        let cells = [
          "`\(mutant.name)`", mutant.access, mutant.scenario, memory, outcome.executions,
          "`\(outcome.schedule)`",
        ]
        return "| " + cells.joined(separator: " | ") + " |"
      }
      let line = Self.columns([
        mutant.name, mutant.access, mutant.scenario, memory, outcome.executions, outcome.schedule,
      ])
      return showsSchedules ? line + "\n  " + outcome.failure : line
    }

    private func shortened(_ schedule: String) -> String {
      if showsSchedules || schedule.count <= 24 { return schedule }
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

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPUIsolation
  internal import ModelEngine

  /// Explores one scenario or one mistake, or replays a schedule of it.
  struct ScenarioCommand {
    enum Subject {
      case scenario(ModelScenario)
      case mistake(HistoricMistake)
    }

    var subject: Subject
    var memory = ModelEngine.Memory.totalStoreOrder
    var search = ModelEngine.Search.exhaustive
    var schedule: String? = nil
    var variant = HistoricMistake.Variant.broken

    /// Whether it is a scenario: mistakes are small, and are explored in one way alone.
    var isScenario: Bool {
      if case .scenario = subject { true } else { false }
    }

    /// Returns the exit status: 1 if it fails.
    func run() -> Int32 {
      let outcome =
        switch subject {
        case .scenario(let scenario):
          scenario.explore(
            memory, search: search, replaying: schedule, executions: Mutant.executions)
        case .mistake(let mistake): mistake.explore(variant, memory, replaying: schedule)
        }
      print(Trial(outcome).text, terminator: "")
      return outcome.failure == nil ? 0 : 1
    }
  }

  /// What an exploration came to, in this program or in another that printed it.
  struct Trial {
    var failure: String? = nil
    var schedule: String? = nil
    var executions = 0
    var isExhausted = false
    /// The execution that failed, or that was replayed, an access a line.
    var trace: [String] = []

    init(_ outcome: ModelEngine.Outcome) {
      failure = outcome.failure
      schedule = outcome.schedule
      executions = outcome.executions
      isExhausted = outcome.isExhausted
      trace = outcome.trace
    }

    /// Reads what `text` wrote; nil if it is something else.
    init?(_ text: String) {
      for line in text.split(separator: "\n") {
        guard let colon = line.firstIndex(of: ":") else { continue }
        let value = String(line[colon...].dropFirst(2))
        switch line[..<colon] {
        case "executions": executions = Int(value) ?? 0
        case "exhausted": isExhausted = value == "true"
        case "failure": failure = value
        case "schedule": schedule = value
        default: break
        }
      }
      if executions == 0 { return nil }
    }

    /// A line for each part.
    var text: String {
      var lines = ["executions: \(executions)", "exhausted: \(isExhausted)"]
      if let failure { lines.append("failure: \(failure)") }
      if let schedule { lines.append("schedule: \(schedule)") }
      lines += trace.map { "  " + $0 }
      return lines.joined(separator: "\n") + "\n"
    }
  }
#endif

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPUIsolation
  internal import Glibc
  internal import ModelEngine

  /// What the scenarios come to, fields between tabs: `Tests/ModelTests/Tables/Scenarios.tsv`.
  enum ScenarioTable {
    static let head = ["scenario", "what holds", "preemptions", "TSO", "weak"]

    /// Explores every scenario under every memory that it is stated for. Returns the exit status: 1
    /// if one fails or is not exhausted.
    static func explore() -> Int32 {
      print(head.joined(separator: "\t"))
      var status: Int32 = 0
      for scenario in ModelScenario.all {
        var executions = ["-", "-"]
        for memory in scenario.memories {
          let outcome = scenario.explore(memory)
          executions[memory == .weak ? 1 : 0] = "\(outcome.executions)"
          if outcome.failure == nil && outcome.isExhausted { continue }
          status = 1
          MutantCommand.report(
            "\(scenario.name) [\(memory.name)]: \(outcome.failure ?? "not exhausted")")
        }
        let fields = [scenario.name, scenario.rule, "\(scenario.preemptions)"] + executions
        print(fields.joined(separator: "\t"))
        fflush(nil)
      }
      return status
    }
  }
#endif

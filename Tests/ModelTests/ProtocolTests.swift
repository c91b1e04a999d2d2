// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import Foundation
  import ModelEngine
  import Testing

  extension ModelTests {
    /// Every rule, under every memory model that it is stated for, to its bound.
    @Suite struct ProtocolTests {
      /// `CPUISOLATION_PREEMPTIONS=1` looks at few schedules, for a quick answer.
      private static let bound = ProcessInfo.processInfo.environment["CPUISOLATION_PREEMPTIONS"]
        .flatMap(Int.init)

      @Test(arguments: ModelScenario.all.flatMap { s in s.memories.map { (s.name, $0) } })
      func holds(_ name: String, _ memory: ModelEngine.Memory) throws {
        let scenario = try #require(ModelScenario.all.first { $0.name == name })
        let bound = Self.bound.map { min($0, scenario.preemptions) } ?? scenario.preemptions
        let outcome = scenario.explore(memory, preemptions: bound)
        print(
          "\(name) [\(memory), \(bound) preemptions]: \(outcome.executions) executions,",
          "\(outcome.steps) steps, \(outcome.isExhausted ? "exhausted" : "NOT exhausted")")
        #expect(
          outcome.failure == nil, "\(outcome.failure ?? ""): replay \(outcome.schedule ?? "")")
        #expect(outcome.isExhausted)
        let row = try #require(try Table("Scenarios").rows.first { $0[0] == name }, "not listed")
        #expect(row[1] == scenario.rule)
        #expect(row[2] == "\(scenario.preemptions)")
        if bound < scenario.preemptions { return }
        #expect(
          row[memory == .weak ? 4 : 3] == "\(outcome.executions)",
          "write the table anew: isolation-mutants --scenarios")
      }

      @Test func tableNamesEveryScenario() throws {
        #expect(try Table("Scenarios").rows.map(\.[0]) == ModelScenario.all.map { $0.name[...] })
      }

      /// The scenarios that are too big to exhaust, under schedules drawn by lot: the numbers say
      /// how many, and that this is no proof.
      @Test(arguments: ModelScenario.sampled.map(\.name), [Sample.random, .priorities])
      func holdsInASample(_ name: String, _ sample: Sample) throws {
        let scenario = try #require(ModelScenario.sampled.first { $0.name == name })
        for memory in scenario.memories {
          let outcome = scenario.explore(memory, search: sample.search(executions: 10_000))
          print(
            "\(name) [\(memory), \(sample)]: \(outcome.executions) executions, \(outcome.steps) steps,",
            "a sample")
          #expect(
            outcome.failure == nil, "\(outcome.failure ?? ""): replay \(outcome.schedule ?? "")")
          #expect(outcome.executions == 10_000 && !outcome.isExhausted)
        }
      }

      enum Sample: CustomTestStringConvertible {
        case random, priorities

        func search(executions: Int) -> ModelEngine.Search {
          switch self {
          case .random: .random(seed: 1, executions: executions)
          case .priorities: .priorities(seed: 1, changes: 4, executions: executions)
          }
        }

        var testDescription: String { "\(self)" }
      }
    }
  }
#endif

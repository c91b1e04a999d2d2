// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import ModelEngine
  import Testing

  extension ModelTests {
    /// Every rule, under every memory model that it is stated for, to its bound.
    @Suite struct ProtocolTests {
      @Test(arguments: ModelScenario.all.flatMap { s in s.memories.map { (s.name, $0) } })
      func holds(_ name: String, _ memory: ModelEngine.Memory) throws {
        let scenario = try #require(ModelScenario.all.first { $0.name == name })
        let outcome = scenario.explore(memory)
        print(
          "\(name) [\(memory), \(scenario.preemptions) preemptions]: \(outcome.executions) executions,",
          "\(outcome.steps) steps, \(outcome.isExhausted ? "exhausted" : "NOT exhausted")")
        #expect(
          outcome.failure == nil, "\(outcome.failure ?? ""): replay \(outcome.schedule ?? "")")
        #expect(outcome.isExhausted)
      }
    }
  }
#endif

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import ModelEngine
  import Testing

  @testable import CPUIsolation

  extension ModelTests {
    /// What the checker itself finds and does not find: small programs whose outcomes are known.
    @Suite struct LitmusTests {
      @Test(arguments: Litmus.table.flatMap { litmus in litmus.memories.map { (litmus, $0) } })
      func outcomesAreThose(_ litmus: Litmus, _ memory: ModelEngine.Memory) {
        let seen = litmus.outcomes(memory)
        #expect(seen == litmus.allowed)
        #expect(seen.isDisjoint(with: litmus.forbidden))
        #expect(seen.isDisjoint(with: litmus.unseen))
      }

      /// A sample finds what a search finds, in a program this small.
      @Test(arguments: [
        ModelEngine.Search.random(seed: 7, executions: 2_000),
        .priorities(seed: 7, changes: 2, executions: 2_000),
      ])
      func samplesFindStoreBuffering(_ search: ModelEngine.Search) throws {
        let words = LitmusMemory()
        var bothZero = 0
        func explore(replaying schedule: String? = nil) -> ModelEngine.Outcome {
          ModelEngine.explore(
            .totalStoreOrder, .init(preemptions: 4), search: search, replaying: schedule,
            prepare: { _ in
              words.reset(0)
              bothZero = 0
              return [
                {
                  words.words.x.store(1, ordering: .relaxed)
                  if words.words.y.load(ordering: .relaxed) == 0 { bothZero += 1 }
                },
                {
                  words.words.y.store(1, ordering: .relaxed)
                  if words.words.x.load(ordering: .relaxed) == 0 { bothZero += 1 }
                },
              ]
            }, check: { if bothZero == 2 { $0.fail("both read 0") } })
        }
        let found = explore()
        #expect(found.failure == "both read 0")
        #expect(!found.isExhausted)
        let schedule = try #require(found.schedule)
        let replayed = explore(replaying: schedule)
        #expect(replayed.failure == found.failure)
        #expect(replayed.schedule == schedule)
        #expect(replayed.executions == 1)
        #expect(replayed.trace == found.trace)
        #expect(found.trace.count >= 5)
      }

      /// What is no schedule is told, and nothing is run.
      @Test(arguments: ["", "0", "0/2.", "2/2", "a/2", "~"])
      func badSchedulesAreTold(_ schedule: String) {
        let outcome = ModelEngine.explore(
          .weak, .init(preemptions: 1), replaying: schedule,
          prepare: { _ in
            Issue.record("a bad schedule ran")
            return []
          })
        #expect(outcome.failure == "not a schedule: \(schedule)")
        #expect(outcome.executions == 0)
      }
    }
  }
#endif

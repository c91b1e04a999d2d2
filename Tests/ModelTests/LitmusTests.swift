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

      /// A sample finds what a search finds, in a program this small, and a schedule says it again.
      @Test(arguments: [
        ModelEngine.Search.random(seed: 7, executions: 2_000),
        .priorities(seed: 7, changes: 2, executions: 2_000), .exhaustive, .deepening,
      ])
      func searchesFindStoreBuffering(_ search: ModelEngine.Search) throws {
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

      /// Few preemptions first: a fault that needs two is met after everything that needs less, and
      /// where there is none, everything is seen that a plain search sees.
      @Test func deepeningSeesEverything() throws {
        let words = LitmusMemory()
        func explore(
          _ search: ModelEngine.Search, refusesThreeSwitches: Bool = false,
          replaying schedule: String? = nil
        ) -> (outcome: ModelEngine.Outcome, orders: Set<[Int]>) {
          var orders: Set<[Int]> = []
          var order: [Int] = []
          let outcome = ModelEngine.explore(
            .totalStoreOrder, .init(preemptions: 3), search: search, replaying: schedule,
            prepare: { _ in
              words.reset(0)
              order = []
              return (0..<2).map { body in
                {
                  for _ in 0..<3 {
                    words.words.x.store(1, ordering: .relaxed)
                    order.append(body)
                  }
                }
              }
            },
            check: {
              orders.insert(order)
              if refusesThreeSwitches, switches(order) == 3 { $0.fail("twice back") }
            })
          return (outcome, orders)
        }
        func switches(_ order: [Int]) -> Int { zip(order, order.dropFirst()).count { $0 != $1 } }

        let plain = explore(.exhaustive)
        let deepening = explore(.deepening)
        #expect(plain.outcome.isExhausted && deepening.outcome.isExhausted)
        #expect(plain.orders == deepening.orders)
        #expect(plain.orders.contains { switches($0) == 3 })
        let found = explore(.deepening, refusesThreeSwitches: true)
        #expect(found.outcome.failure == "twice back")
        #expect(found.orders.isSuperset(of: plain.orders.filter { switches($0) < 3 }))
        #expect(found.outcome.executions < deepening.outcome.executions)
        let schedule = try #require(found.outcome.schedule)
        let replayed = explore(.exhaustive, refusesThreeSwitches: true, replaying: schedule)
        #expect(replayed.outcome.failure == "twice back")
        #expect(replayed.outcome.schedule == schedule)
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

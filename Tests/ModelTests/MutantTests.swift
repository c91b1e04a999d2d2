// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import ModelEngine
  import Testing

  @testable import IsolationMutants

  extension ModelTests {
    /// A few of the mutants that `isolation-mutants` runs, so that plain `swift test` notices when
    /// the checker stops finding them; and that what it prints can be replayed.
    @Suite struct MutantTests {
      private func mutant(_ name: String) throws -> Mutant {
        try #require(Mutant.catalog.first { $0.name == name }, "no mutant is called \(name)")
      }

      @Test(arguments: [
        "exit:W-relaxed", "leave:W-weakened", "Parker:U-split", "send:O-split", "call:X-split",
      ])
      func isKilled(_ name: String) throws {
        var labels = SourceLabels()
        switch try mutant(name).run(&labels) {
        case .killed(let outcome): #expect(outcome.schedule != nil)
        case .survived(let outcome): Issue.record("survived \(outcome.executions) executions")
        case .unresolved(let sentence): Issue.record("\(sentence)")
        }
      }

      /// The schedule alone leads to the failure, at once; the sources as they are survive it.
      @Test(arguments: ["merge:F-dropped", "send:O-split", "entry:K-weakened", "leave:W-weakened"])
      func scheduleReplays(_ name: String) throws {
        var labels = SourceLabels()
        let mutant = try mutant(name)
        let (scenario, mutations) = try mutant.resolve(&labels)
        let found = scenario.explore(mutant.memory, mutations: mutations)
        let schedule = try #require(found.schedule)

        let replayed = scenario.explore(
          mutant.memory, mutations: mutations, replaying: schedule)
        #expect(replayed.executions == 1)
        #expect(replayed.failure == found.failure)
        #expect(replayed.schedule == schedule)

        let unmutated = scenario.explore(mutant.memory, replaying: schedule)
        #expect(unmutated.executions == 1)
        #expect(unmutated.failure == nil)
      }

      /// A comment that has moved, or a label that nobody knows, is told and not passed over.
      @Test func labelsThatAreNotThereAreTold() {
        var labels = SourceLabels()
        let mutant = Mutant(
          "entry:Q", .relaxed, "no such access", in: "Context/ContextTracker.swift",
          by: "two types", .weak)
        guard case .unresolved = mutant.run(&labels) else {
          Issue.record("an access was found behind a label that is not there")
          return
        }
      }
    }
  }
#endif

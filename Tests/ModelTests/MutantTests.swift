// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import ModelEngine
  import Testing

  @testable import isolation_mutants

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
        case .killed(let trial): #expect(trial.schedule != nil)
        case .survived(let trial): Issue.record("survived \(trial.executions) executions")
        case .unresolved(let sentence): Issue.record("\(sentence)")
        }
      }

      /// The schedule alone leads to the failure, at once; the sources as they are survive it.
      @Test(arguments: ["merge:F-dropped", "send:O-split", "entry:K-weakened", "leave:W-weakened"])
      func scheduleReplays(_ name: String) throws {
        var labels = SourceLabels()
        let mutant = try mutant(name)
        let (scenario, mutations) = try mutant.resolve(&labels)
        let found = scenario.explore(mutant.memory, mutations: mutations, search: .deepening)
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

      /// The table lists the mutants that there are, and no others.
      @Test func tableNamesEveryMutant() throws {
        let listed = try Table("Mutants").rows.map { $0.prefix(4).map(String.init) }
        let known =
          Mutant.catalog.map { MutantTable.Row($0).cells }
          + (try PatchMutant.all()).map { MutantTable.Row($0).cells }
        // The difference alone: both together would be pages.
        let difference = Set(listed).symmetricDifference(known).map { $0.joined(separator: " | ") }
        #expect(difference.sorted() == [])
        #expect(listed == known, "the order differs")
      }

      /// Both put a batch into the list twice, and what becomes of it depends on the addresses that the allocator
      /// gives: the schedule alone does not lead there.
      private static let followTheAllocator = ["hazardBatch:T-split", "hazardBatch:T-split@retire"]

      /// Every ordering's schedule in the table leads to a failure, at once.
      @Test func schedulesOfTheTableReplay() throws {
        let rows = try Table("Mutants").rows
        var labels = SourceLabels()
        for mutant in Mutant.catalog where !Self.followTheAllocator.contains(mutant.name) {
          let row = try #require(
            rows.first { $0.prefix(4).map(String.init) == MutantTable.Row(mutant).cells },
            "\(mutant.name)")
          let (scenario, mutations) = try mutant.resolve(&labels)
          let replayed = scenario.explore(
            mutant.memory, mutations: mutations, replaying: String(row[5]))
          #expect(replayed.executions == 1)
          #expect(replayed.failure != nil, "\(mutant.name): the schedule leads to no failure")
        }
      }

      /// Every patch names a scenario that there is, and has a name of its own.
      @Test func patchesNameTheirScenarios() throws {
        let patches = try PatchMutant.all()
        #expect(patches.count >= 20)
        for patch in patches {
          #expect(ModelScenario.all.contains { $0.name == patch.scenario }, "\(patch.name)")
          #expect(!patch.sentence.isEmpty, "\(patch.name)")
        }
        let names = Mutant.catalog.map { "\($0.name) \($0.memory.name)" } + patches.map(\.name)
        #expect(Set(names).count == names.count)
      }

      /// A comment that has moved, or a label that nobody knows, is told and not passed over.
      @Test func labelsThatAreNotThereAreTold() {
        var labels = SourceLabels()
        let mutant = Mutant(
          "entry:Q", .relaxed, "no such access", in: "CPUs/ContextTracker.swift",
          by: "two types", .weak)
        guard case .unresolved = mutant.run(&labels) else {
          Issue.record("an access was found after a label that is not there")
          return
        }
      }
    }
  }
#endif

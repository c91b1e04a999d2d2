// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import ModelEngine
  import Testing

  @testable import isolation_mutants

  extension ModelTests {
    /// The mistakes that were made with these protocols: each is found, by an execution short enough
    /// to read, which replays; the sound variant beside it has none.
    @Suite struct HistoricTests {
      static let memories: [ModelEngine.Memory] = [.totalStoreOrder, .weak]

      /// How many lines the trace of the first counterexample has at most, its failure included.
      static let lengths = [
        "plain-look merge": 10, "state read before the OR": 8, "inverted look": 11,
        "publish after catch-up": 8, "ticket by count of drains": 13,
        "ticket by two more drains": 25, "< on a wrapped counter": 12,
      ]

      /// What the broken variant comes to.
      static let failures = [
        "plain-look merge": "in kernel: promised was 1, the handler read 0",
        "state read before the OR": "in kernel: promised was 1, the handler read 0",
        "inverted look": "sent 2, deferred 2, interrupts 0: executed 0",
        "publish after catch-up": "in kernel: promised was 1, the handler read 0",
        "ticket by count of drains": "executed, but the datum was not read",
        "ticket by two more drains": "nobody can go on: bodies 0, 1 wait for ever",
        "< on a wrapped counter": "freed while it is looked at",
      ]

      private func mistake(_ name: String) throws -> HistoricMistake {
        try #require(HistoricMistake.catalog.first { $0.name == name })
      }

      @Test func everyMistakeIsListed() {
        #expect(Set(HistoricMistake.catalog.map(\.name)) == Set(Self.lengths.keys))
        #expect(Set(Self.lengths.keys) == Set(Self.failures.keys))
      }

      @Test(arguments: HistoricMistake.catalog.map(\.name), memories)
      func brokenVariantFailsShortly(_ name: String, _ memory: ModelEngine.Memory) throws {
        let mistake = try mistake(name)
        let found = mistake.explore(.broken, memory)
        #expect(found.failure == Self.failures[name])
        #expect(found.trace.count <= Self.lengths[name]!, "\(found.trace)")

        let schedule = try #require(found.schedule)
        let replayed = mistake.explore(.broken, memory, replaying: schedule)
        #expect(replayed.executions == 1)
        #expect(replayed.failure == found.failure)
        #expect(replayed.schedule == schedule)
        #expect(replayed.trace == found.trace)
      }

      @Test(arguments: HistoricMistake.catalog.map(\.name), memories)
      func soundVariantHolds(_ name: String, _ memory: ModelEngine.Memory) throws {
        let outcome = try mistake(name).explore(.sound, memory)
        #expect(outcome.failure == nil, "\(outcome.trace)")
        #expect(outcome.isExhausted)
      }

      /// The inverted look is the one that statistics do not show: every send is answered as one
      /// could wish, nobody is interrupted, and nothing is ever done.
      @Test(arguments: memories)
      func invertedLookShowsInWhatWasExecutedAlone(_ memory: ModelEngine.Memory) throws {
        let broken = try mistake("inverted look").explore(.broken, memory)
        #expect(broken.failure == "sent 2, deferred 2, interrupts 0: executed 0")
        // A CPU that was in kernel all the time: not one line of the trace reads the datum.
        #expect(!broken.trace.contains { $0.contains("reads datum") })
      }

      /// The page on verification shows the schedules that the command prints.
      @Test func pageShowsTheSchedules() throws {
        let page = SourceLabels.text(PatchMutant.root + "/Documentation/Verification.md")
        for mistake in HistoricMistake.catalog {
          let schedule = try #require(mistake.explore(.broken, .totalStoreOrder).schedule)
          #expect(
            page.contains("--historic \"\(mistake.name)\" --replay \(schedule)\n"),
            "\(mistake.name): \(schedule)")
        }
      }
    }
  }
#endif

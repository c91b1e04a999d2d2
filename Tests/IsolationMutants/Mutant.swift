// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPUIsolation
  internal import ModelEngine

  /// One wrong variant of an ordering, and the scenario that has to notice.
  struct Mutant: Sendable {
    /// What becomes of the access.
    enum Change: String, Sendable {
      case relaxed
      /// Sequentially consistent to acquire, release or both.
      case weakened
      /// A read-modify-write to a load and a store.
      case split
      /// No fence at all.
      case dropped

      var mutation: Mutation {
        switch self {
        case .relaxed, .dropped: .relax
        case .weakened: .weaken
        case .split: .split
        }
      }
    }

    /// What is mutated: one access, or two of which each would do.
    let parts: [(place: LabelledPlace, change: Change)]
    /// What the access is.
    let access: String
    /// Which of several accesses with the same label.
    private let `where`: String?
    let scenario: String
    let memory: ModelEngine.Memory

    init(
      _ label: String, _ change: Change, _ access: String, at where: String? = nil, in path: String,
      occurrence: Int = 0, by scenario: String, _ memory: ModelEngine.Memory
    ) {
      self.init(
        [
          (
            LabelledPlace(
              label: label, path: path, occurrence: occurrence, isFence: change == .dropped), change
          )
        ], access, at: `where`, by: scenario, memory)
    }

    init(
      _ parts: [(place: LabelledPlace, change: Change)], _ access: String,
      at where: String? = nil, by scenario: String, _ memory: ModelEngine.Memory
    ) {
      self.parts = parts
      self.where = `where`
      self.access = access
      self.scenario = scenario
      self.memory = memory
    }

    /// How the command line names it: `send:O-split`, or `send:O-split@calls` for one of several.
    var name: String {
      let names = parts.map { "\($0.place.label)-\($0.change.rawValue)" }
      return names.joined(separator: "+") + (`where`.map { "@" + $0 } ?? "")
    }

    /// How a trial ended.
    enum Verdict: Sendable {
      case killed(Trial)
      case survived(Trial)
      /// The scenario, the comment or the access is not where the list says.
      case unresolved(String)
    }

    /// The scenario, and where its mutated accesses stand.
    func resolve(
      _ labels: inout SourceLabels
    ) throws(Unresolved) -> (scenario: ModelScenario, mutations: [Site: Mutation]) {
      guard let scenario = ModelScenario.all.first(where: { $0.name == self.scenario }) else {
        throw Unresolved(sentence: "there is no scenario '\(self.scenario)'")
      }
      var executed: Set<Site> = []
      // Two preemptions and some thousand executions reach every access that a scenario has.
      _ = scenario.explore(
        memory, preemptions: min(2, scenario.preemptions), executions: 4_000
      ) { executed = $0 }
      var mutations: [Site: Mutation] = [:]
      for part in parts {
        guard let site = labels.site(of: part.place, among: executed) else {
          throw Unresolved(
            sentence: "no access of the scenario '\(scenario.name)' stands after "
              + "\(part.place.label) (\(part.place.occurrence + 1)) in \(part.place.path)")
        }
        mutations[site] = part.change.mutation
      }
      return (scenario, mutations)
    }

    struct Unresolved: Error {
      var sentence: String
    }

    /// Explores the scenario with the mutant until it fails.
    func run(_ labels: inout SourceLabels) -> Verdict {
      do throws(Unresolved) {
        let (scenario, mutations) = try resolve(&labels)
        let outcome = Trial(
          scenario.explore(
            memory, mutations: mutations, search: .deepening, executions: Self.executions))
        return outcome.failure == nil ? .survived(outcome) : .killed(outcome)
      } catch {
        return .unresolved(error.sentence)
      }
    }

    /// No mutant takes as many: one that does has survived.
    static let executions = 300_000
  }
#endif

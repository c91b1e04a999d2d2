// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  public import ModelEngine

  /// One rule of the protocols, as a few bodies and the assertions that must hold under every
  /// schedule.
  public struct ModelScenario: Sendable {
    public let name: String
    /// What is asserted.
    public let rule: String
    /// The memory models that it is explored under.
    public let memories: [ModelEngine.Memory]
    public let preemptions: Int
    private let bodies: @Sendable (ModelMachine) -> [() -> Void]
    private let check: @Sendable (ModelMachine) -> Void

    init(
      _ name: String, rule: String, memories: [ModelEngine.Memory] = [.totalStoreOrder, .weak],
      preemptions: Int, bodies: @escaping @Sendable (ModelMachine) -> [() -> Void],
      check: @escaping @Sendable (ModelMachine) -> Void = { $0.checkAccounts() }
    ) {
      self.name = name
      self.rule = rule
      self.memories = memories
      self.preemptions = preemptions
      self.bodies = bodies
      self.check = check
    }

    /// Explores the scenario, with the sources as they are or with some sites mutated.
    ///
    /// - Parameters:
    ///   - memory: how memory behaves.
    ///   - mutations: the sites that are mutated, and how; none is the sources as they are.
    ///   - search: in which order schedules are tried.
    ///   - schedule: the decisions of one execution: it alone is run.
    ///   - preemptions: how often a thread may be left where it could go on; nil is the scenario's
    ///     own bound.
    ///   - executions: after how many executions the search is given up; nil is the scenario's own
    ///     bound.
    ///   - sites: gets the sites that the executions came by.
    /// - Returns: how many executions there were, and for a failure its sentence and its schedule.
    public func explore(
      _ memory: ModelEngine.Memory, mutations: [Site: Mutation] = [:],
      search: ModelEngine.Search = .exhaustive, replaying schedule: String? = nil,
      preemptions: Int? = nil, executions: Int? = nil, sites: ((Set<Site>) -> Void)? = nil
    ) -> ModelEngine.Outcome {
      let machine = ModelMachine()
      var last: ModelEngine? = nil
      var bounds = ModelEngine.Bounds(preemptions: preemptions ?? self.preemptions)
      if let executions { bounds.executions = executions }
      let outcome = ModelEngine.explore(
        memory, bounds, search: search, replaying: schedule, mutations: mutations,
        prepare: { engine in
          engine.recordsSites = sites != nil
          last = engine
          machine.reset(engine)
          return bodies(machine)
        }, check: { _ in check(machine) })
      if let last { sites?(last.sites) }
      return outcome
    }

    /// Every scenario that there is.
    public static let all: [ModelScenario] =
      sendScenarios + ticketScenarios + helpScenarios + slotScenarios + callScenarios
      + threadEndScenarios
      + pooledCallScenarios
      + signalScenarios
      + traceScenarios
      + catchUpScenarios
      + keyScenarios
      + keyGroupScenarios
      + translationScenarios
      + poolScenarios
      + hazardScenarios
      + hazardRestScenarios
      + regionScenarios
      + lookupScenarios
      + probeScenarios
      + placeScenarios
      + elsewhereScenarios
  }
#endif

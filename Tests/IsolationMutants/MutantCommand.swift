// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPUIsolation
  internal import Glibc
  internal import ModelEngine

  /// The command, from its arguments to its exit status.
  struct MutantCommand {
    private static let usage = """
      usage: isolation-mutants [--orderings | --patches] [--table] [--only NAME]
             isolation-mutants --scenarios
             isolation-mutants --scenario NAME [--memory TSO|weak] [--deepening] [--replay SCHEDULE]
             isolation-mutants --historic NAME [--sound] [--memory …] [--replay …]

      Makes the library's orderings wrong, one at a time, and explores the scenario that has to
      notice; then does the same with patches that reorder code, in a build of its own. Exits 1
      if a mutant survives, if the access that it means is not where its comment says, or if a patch
      does not apply.

        --orderings  the orderings alone: seconds, where the patches take minutes
        --patches    the patches alone
        --table      print Tests/ModelTests/Tables/Mutants.tsv: fields between tabs, whole schedules
        --scenarios  explore all scenarios to their bounds, and print Tables/Scenarios.tsv
        --only NAME  run an area's mutants (send), a label's (send:O), or one (send:O-split), with
                     whole schedules
        --scenario   explore one scenario with the sources as they are; exits 1 if it fails
        --historic   explore one of the mistakes of Documentation/Verification.md, or the sound
                     variant beside it
        --deepening  explore schedules with few preemptions first, as mutants are explored
        --replay     run the one execution of it that the schedule stands for

      """

    private enum Mistake: Error {
      case help
      case unknown(String)
    }

    private var isTabbed = false
    private var withOrderings = true
    private var withPatches = true
    private var only: String? = nil
    private var listsScenarios = false
    private var scenario: ScenarioCommand? = nil

    static func run(arguments: [String]) -> Int32 {
      do throws(Mistake) {
        let command = try MutantCommand(arguments)
        if let scenario = command.scenario { return scenario.run() }
        return command.listsScenarios ? ScenarioTable.explore() : try command.runMutants()
      } catch {
        switch error {
        case .help:
          print(usage, terminator: "")
          return 0
        case .unknown(let sentence):
          report("\(sentence)\n\(usage)")
          return 64
        }
      }
    }

    private init(_ arguments: [String]) throws(Mistake) {
      var rest = arguments[...]
      while let argument = rest.popFirst() {
        switch argument {
        case "--table": isTabbed = true
        case "--scenarios": listsScenarios = true
        case "--orderings": withPatches = false
        case "--patches": withOrderings = false
        case "--only" where !rest.isEmpty: only = rest.removeFirst()
        case "--scenario" where !rest.isEmpty:
          let name = rest.removeFirst()
          guard let found = ModelScenario.all.first(where: { $0.name == name }) else {
            throw .unknown("there is no scenario '\(name)'")
          }
          scenario = ScenarioCommand(subject: .scenario(found))
        case "--historic" where !rest.isEmpty:
          let name = rest.removeFirst()
          guard let found = HistoricMistake.catalog.first(where: { $0.name == name }) else {
            let names = HistoricMistake.catalog.map { "  \($0.name)" }.joined(separator: "\n")
            throw .unknown("there is no mistake '\(name)', but\n\(names)")
          }
          scenario = ScenarioCommand(subject: .mistake(found))
        case "--sound" where scenario != nil: scenario!.variant = .sound
        case "--memory" where scenario != nil && !rest.isEmpty:
          let name = rest.removeFirst()
          guard let memory = ModelEngine.Memory(named: name) else {
            throw .unknown("there is no memory '\(name)': TSO or weak")
          }
          scenario!.memory = memory
        case "--deepening" where scenario?.isScenario == true: scenario!.search = .deepening
        case "--replay" where scenario != nil && !rest.isEmpty:
          scenario!.schedule = rest.removeFirst()
        case "--help", "-h": throw .help
        default: throw .unknown("cannot understand '\(argument)'")
        }
      }
    }

    private func runMutants() throws(Mistake) -> Int32 {
      var orderings: [Mutant] = []
      var patches: [PatchMutant] = []
      if withOrderings {
        orderings = Mutant.catalog.filter { mutant in
          isWanted(mutant.name) || mutant.parts.contains { isWanted($0.place.label) }
        }
      }
      do throws(Mutant.Unresolved) {
        if withPatches { patches = try PatchMutant.all().filter { isWanted($0.name) } }
      } catch {
        Self.report(error.sentence)
        return 1
      }
      if orderings.isEmpty && patches.isEmpty {
        throw .unknown("there is no mutant\(only.map { " '\($0)'" } ?? "")")
      }
      var table = MutantTable(isTabbed: isTabbed, showsSchedules: only != nil)
      print(table.head, terminator: "")
      var labels = SourceLabels()
      for mutant in orderings { table.add(MutantTable.Row(mutant), mutant.run(&labels)) }
      if !patches.isEmpty {
        do throws(Mutant.Unresolved) {
          for (mutant, verdict) in zip(patches, try PatchedBuild.run(patches)) {
            table.add(MutantTable.Row(mutant), verdict)
          }
        } catch {
          Self.report(error.sentence)
          return 1
        }
      }
      Self.report("\(table.killed) of \(orderings.count + patches.count) mutants killed")
      return table.killed == orderings.count + patches.count ? 0 : 1
    }

    /// Whether a name is the one that was asked for, or in that area.
    private func isWanted(_ name: String) -> Bool {
      only.map { name == $0 || name.hasPrefix($0 + ":") } ?? true
    }

    static func report(_ message: String) {
      // Standard output first: the two may be one terminal.
      fflush(nil)
      let line = "isolation-mutants: \(message)\n"
      _ = unsafe line.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
    }
  }
#endif

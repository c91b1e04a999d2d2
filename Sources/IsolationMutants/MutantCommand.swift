// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Glibc

  /// The command, from its arguments to its exit status.
  enum MutantCommand {
    private static let usage = """
      usage: isolation-mutants [--markdown] [--only NAME]

      Mutates the library's orderings one at a time, and explores the scenario that has to notice.
      Exits 1 if a mutant survives, or if the access that it means is not where its comment says.

        --markdown   print the table of Documentation/Verification.md
        --only NAME  run one label's mutants (send:O), or one (send:O-split), with whole schedules

      """

    static func run(arguments: [String]) -> Int32 {
      var isMarkdown = false
      var only: String? = nil
      var rest = arguments[...]
      while let argument = rest.popFirst() {
        switch argument {
        case "--markdown": isMarkdown = true
        case "--only" where !rest.isEmpty: only = rest.removeFirst()
        case "--help", "-h":
          print(usage, terminator: "")
          return 0
        default:
          report("cannot understand '\(argument)'\n\(usage)")
          return 64
        }
      }
      let mutants = Mutant.catalog.filter { mutant in
        only.map { mutant.name == $0 || mutant.parts.contains { $0.place.label == only } } ?? true
      }
      if mutants.isEmpty {
        report("there is no mutant '\(only ?? "")'")
        return 64
      }
      return run(mutants, MutantTable(isMarkdown: isMarkdown, showsSchedules: only != nil))
    }

    private static func run(_ mutants: [Mutant], _ table: MutantTable) -> Int32 {
      var labels = SourceLabels()
      var survivors = 0
      print(table.head, terminator: "")
      for mutant in mutants {
        let verdict = mutant.run(&labels)
        print(table.row(of: mutant, verdict))
        fflush(nil)
        switch verdict {
        case .killed: break
        case .survived:
          survivors += 1
          report("\(mutant.name) survived the scenario '\(mutant.scenario)'")
        case .unresolved(let sentence):
          survivors += 1
          report("\(mutant.name): \(sentence)")
        }
      }
      report("\(mutants.count - survivors) of \(mutants.count) mutants killed")
      return survivors == 0 ? 0 : 1
    }

    private static func report(_ message: String) {
      // Standard output first: the two may be one terminal.
      fflush(nil)
      let line = "isolation-mutants: \(message)\n"
      _ = unsafe line.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
    }
  }
#endif

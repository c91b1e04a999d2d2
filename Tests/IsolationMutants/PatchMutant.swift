// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Glibc
  internal import ModelEngine

  /// A wrong variant that no change of an ordering makes: reordered code, as a patch.
  ///
  /// The file begins with a header, a line each, then an empty line and the unified diff:
  ///
  ///     name: entry:K-first
  ///     change: K looked at before the addition to W
  ///     rule: 1. Entry
  ///     killed-by: two types
  ///     memory: TSO
  ///     sentence: after an entry: sender
  ///
  /// A patch that changes more of a file than bodies says what: `declares: early, which these files alone use`.
  struct PatchMutant: Sendable {
    let name: String
    /// What the patch does.
    let change: String
    /// The rule that it breaks.
    let rule: String
    let scenario: String
    /// How the failure of the scenario begins.
    let sentence: String
    let memory: ModelEngine.Memory
    /// The patch file.
    let path: String
    /// What it declares, and no other file knows of; nil if it changes bodies alone.
    let declares: String?
    /// The files that it changes, from the root of the package.
    let files: [String]

    /// Where the patches are, from the root of the package.
    static let folder = "Tests/ModelTests/Patches"

    /// The root of the package that this program was built from.
    static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
      .dropLast(3).joined(separator: "/")

    /// Reads a patch; nil if its header is not complete.
    init?(_ path: String) {
      var fields: [Substring: String] = [:]
      let lines = SourceLabels.text(path).split(separator: "\n")
      files = lines.filter { $0.hasPrefix("+++ b/") }.map { String($0.dropFirst(6)) }
      for line in lines {
        if line.hasPrefix("--- ") { break }
        guard let colon = line.firstIndex(of: ":") else { continue }
        fields[line[..<colon]] = String(line[colon...].dropFirst().drop { $0 == " " })
      }
      guard let name = fields["name"], let change = fields["change"], let rule = fields["rule"],
        let scenario = fields["killed-by"], let sentence = fields["sentence"],
        let memory = fields["memory"].flatMap(ModelEngine.Memory.init(named:))
      else { return nil }
      declares = fields["declares"]
      self.name = name
      self.change = change
      self.rule = rule
      self.scenario = scenario
      self.sentence = sentence
      self.memory = memory
      self.path = path
    }

    /// Every patch of the checkout, in the order of the file names.
    ///
    /// - Throws: the path of a file whose header is not complete.
    static func all() throws(Mutant.Unresolved) -> [PatchMutant] {
      var mutants: [PatchMutant] = []
      for path in files() {
        guard let mutant = PatchMutant(path) else {
          throw Mutant.Unresolved(sentence: "\(path): the header is not complete")
        }
        mutants.append(mutant)
      }
      return mutants
    }

    private static func files() -> [String] {
      let listing = Shell.run("LC_ALL=C ls \(Shell.quoted(root + "/" + folder))/*.patch").output
      return listing.split(separator: "\n").map(String.init)
    }
  }

  extension ModelEngine.Memory {
    /// The name in tables and on the command line.
    var name: String {
      switch self {
      case .sequentiallyConsistent: "SC"
      case .totalStoreOrder: "TSO"
      case .weak: "weak"
      }
    }

    init?(named name: String) {
      guard
        let memory = [Self.sequentiallyConsistent, .totalStoreOrder, .weak]
          .first(where: { $0.name == name })
      else { return nil }
      self = memory
    }
  }

  /// Commands of the system, for what copies, patches and builds.
  enum Shell {
    static func quoted(_ word: String) -> String {
      "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        + "'"
    }

    /// Runs a command and returns its exit status and what it wrote, errors included.
    static func run(_ command: String) -> (status: Int32, output: String) {
      fflush(nil)
      guard let pipe = unsafe popen("{ \(command) ; } 2>&1", "r") else { return (-1, "") }
      let output = unsafe SourceLabels.text(pipe)
      let status = unsafe pclose(pipe)
      return (status & 0x7f == 0 ? status >> 8 & 0xff : -1, output)
    }
  }
#endif

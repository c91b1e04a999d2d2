// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Dispatch
  internal import Glibc
  internal import ModelEngine
  internal import Synchronization

  /// A build of this program in a temporary folder, to try patches on: everything is compiled once, and for each patch
  /// the files that it changes, by the compiler's own command, which `swift build` prints.
  struct PatchedBuild: Sendable {
    /// The command that compiles files of the library, without their names.
    private let compiling: String
    private let linking: String
    /// Where the library's objects are.
    private let objects: String
    /// What is linked.
    private let program: String
    private let sources: [String]

    /// Runs mutants, two at once.
    static func run(_ mutants: [PatchMutant]) throws(Mutant.Unresolved) -> [Mutant.Verdict] {
      let (status, folder) = Shell.run("mktemp -d")
      guard status == 0 else { throw Mutant.Unresolved(sentence: "no temporary folder: \(folder)") }
      let path = String(folder.prefix { $0 != "\n" })
      defer { _ = Shell.run("rm -rf \(Shell.quoted(path))") }
      let build = try PatchedBuild(in: path)
      let verdicts = Mutex<[Mutant.Verdict?]>(Array(repeating: nil, count: mutants.count))
      let next = Atomic(0)
      DispatchQueue.concurrentPerform(iterations: min(2, mutants.count)) { _ in
        while true {
          let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
          if index >= mutants.count { return }
          let verdict = build.run(mutants[index], in: "\(path)/\(index)")
          verdicts.withLock { $0[index] = verdict }
        }
      }
      return verdicts.withLock { $0.compactMap { $0 } }
    }

    /// Builds the program as it is, file by file: where files were optimised together, a changed one would have copies
    /// in the others.
    private init(in folder: String) throws(Mutant.Unresolved) {
      guard !(folder + PatchMutant.root).contains(" ") else {
        throw Mutant.Unresolved(sentence: "a space in '\(folder)' or '\(PatchMutant.root)'")
      }
      let log = try Self.require(
        """
        env -u CPUISOLATION_CI swift build --package-path \(PatchMutant.root) --scratch-path \(folder)/build -v \
        --traits ModelChecking --product isolation-mutants --disable-index-store \
        -Xswiftc -O -Xswiftc -enforce-exclusivity=unchecked
        """, "build the package")
      let commands = log.split(separator: "\n")
      guard
        let compiling = commands.first(where: {
          $0.contains(" -frontend -c ") && $0.contains(" -module-name CPUIsolation ")
        }),
        let linking = commands.last(where: {
          $0.contains("/isolation-mutants ") && $0.contains("/CPUIsolation.build/")
        }),
        let object = linking.split(separator: " ").first(where: {
          $0.contains("/CPUIsolation.build/")
        }),
        let output = linking.split(separator: " ").first(where: {
          $0.hasSuffix("/isolation-mutants")
        })
      else {
        throw Mutant.Unresolved(sentence: "swift build prints no commands that compile and link")
      }
      objects = object.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        .joined(separator: "/")
      program = String(output)
      self.compiling = Self.withoutFiles(compiling)
      self.linking = String(linking)
      sources = SourceLabels.text("\(objects)/sources").split(separator: "\n").map(String.init)
    }

    /// The command without the options that name what is read and written.
    private static func withoutFiles(_ command: Substring) -> String {
      var kept: [Substring] = []
      var words = command.split(separator: " ")[...]
      while let word = words.popFirst() {
        let namesFile =
          ["-o", "-primary-file", "-filelist", "-supplementary-output-file-map"].contains(word)
          || word.hasPrefix("-emit-") && word.hasSuffix("-path")
        if namesFile {
          _ = words.popFirst()
        } else if !word.hasSuffix(".swift") {
          kept.append(word)
        }
      }
      return kept.joined(separator: " ")
    }

    /// Compiles what the patch changes, links it with all the rest, and explores its scenario.
    private func run(_ mutant: PatchMutant, in place: String) -> Mutant.Verdict {
      do throws(Mutant.Unresolved) {
        try build(mutant, in: place)
      } catch {
        return .unresolved(error.sentence)
      }
      let (status, output) = Shell.run(
        """
        timeout 300 \(place)/isolation-mutants --scenario \(Shell.quoted(mutant.scenario)) \
        --memory \(mutant.memory.name) --deepening
        """)
      guard status == 0 || status == 1, let outcome = Trial(output) else {
        return .unresolved("the exploration ended with status \(status): \(output.suffix(400))")
      }
      guard let failure = outcome.failure else { return .survived(outcome) }
      guard failure.hasPrefix(mutant.sentence) else {
        return .unresolved("failed with '\(failure)', expected was '\(mutant.sentence)…'")
      }
      return .killed(outcome)
    }

    private func build(_ mutant: PatchMutant, in place: String) throws(Mutant.Unresolved) {
      let files = mutant.files
      try Self.require(
        """
        mkdir \(place) && cd \(PatchMutant.root) && cp --parents \(files.joined(separator: " ")) \(place) && \
        patch -d \(place) -p1 -F0 -s <\(mutant.path)
        """, "apply the patch")
      let list = sources.map { source in
        files.first { source == "\(PatchMutant.root)/\($0)" }.map { "\(place)/\($0)" } ?? source
      }
      guard list != sources else {
        throw Mutant.Unresolved(sentence: "changes no file of the library")
      }
      try Self.require("printf '%s\\n' \(list.joined(separator: " ")) >\(place)/list", "list files")
      var linking = linking
      for file in files {
        let name = file.split(separator: "/").last!
        if mutant.declares == nil { try requireSameInterface(of: file, in: place) }
        try Self.require(
          """
          \(compiling) -filelist \(place)/list -primary-file \(place)/\(file) -o \(place)/\(name).o
          """, "compile \(file) with the patch")
        linking = linking.replacing("\(objects)/\(name).o", with: "\(place)/\(name).o")
      }
      linking = linking.replacing(program, with: "\(place)/isolation-mutants")
      try Self.require(linking, "link with the patch")
    }

    /// Whether other files see the same of a file as before: its part of the module, without bodies and positions. What
    /// this program itself inlined of a body would be as it was: the mutant would survive, and say so.
    private func requireSameInterface(
      of file: String, in place: String
    ) throws(Mutant.Unresolved) {
      let command = compiling.replacing(
        " -c ", with: " -emit-module -experimental-skip-all-function-bodies "
      ).replacing(" -enable-default-cmo", with: "")
      let name = file.split(separator: "/").last!
      for (folder, side) in [(PatchMutant.root, "before"), (place, "after")] {
        // A module has the bodies that others may inline, as they were written, and with that option small ones.
        try Self.require(
          """
          cd \(place) && mkdir -p \(side) && sed 's/@inlinable//' \(folder)/\(file) >\(side)/\(name) && \
          sed 's|^\(PatchMutant.root)/\(file)$|\(place)/\(side)/\(name)|' \(objects)/sources >\(side)/list && \
          \(command) -filelist \(side)/list -primary-file \(place)/\(side)/\(name) -o \(side)/part && test -s \(side)/part
          """, "tell the interface of \(file)")
      }
      try Self.require(
        "cmp -s \(place)/before/part \(place)/after/part",
        "take \(file) alone: a patch changes bodies, since other files are not compiled")
    }

    @discardableResult
    private static func require(_ command: String, _ action: String) throws(Mutant.Unresolved)
      -> String
    {
      let (status, output) = Shell.run(command)
      if status == 0 { return output }
      let errors = output.split(separator: "\n").filter { $0.contains("error: ") }.prefix(4)
      let shown = errors.isEmpty ? String(output.suffix(400)) : errors.joined(separator: "\n")
      throw Mutant.Unresolved(sentence: "cannot \(action): \(shown)")
    }
  }
#endif

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Dispatch
  internal import Glibc
  internal import ModelEngine
  internal import Synchronization

  /// A copy of the package in a temporary folder, to try patches on: built once, then again in
  /// parts with each of them.
  struct PatchedCopy: ~Copyable {
    private let folder: String

    private init(folder: String) { self.folder = folder }

    /// Runs mutants in two copies at once: most of the time goes into compiling one module.
    static func run(_ mutants: [PatchMutant]) throws(Mutant.Unresolved) -> [Mutant.Verdict] {
      let verdicts = Mutex<[Mutant.Verdict?]>(Array(repeating: nil, count: mutants.count))
      let next = Mutex(0)
      let refusal = Mutex<Mutant.Unresolved?>(nil)
      DispatchQueue.concurrentPerform(iterations: min(2, mutants.count)) { _ in
        do throws(Mutant.Unresolved) {
          let copy = try make()
          while true {
            let index = next.withLock { next in
              defer { next += 1 }
              return next
            }
            if index >= mutants.count { return }
            let verdict = copy.run(mutants[index])
            verdicts.withLock { $0[index] = verdict }
          }
        } catch {
          refusal.withLock { $0 = error }
        }
      }
      if let refusal = refusal.withLock({ $0 }) { throw refusal }
      return verdicts.withLock { $0.compactMap { $0 } }
    }

    /// Copies and builds the package, as it is.
    private static func make() throws(Mutant.Unresolved) -> PatchedCopy {
      let (status, folder) = Shell.run("mktemp -d")
      guard status == 0 else { throw Mutant.Unresolved(sentence: "no temporary folder: \(folder)") }
      let copy = PatchedCopy(folder: String(folder.prefix { $0 != "\n" }))
      let parts = ["Package.swift", "Sources", "Tests", "Examples"].map {
        Shell.quoted(PatchMutant.root + "/" + $0)
      }
      try copy.require("cp -Rp \(parts.joined(separator: " ")) .", "copy the package")
      try copy.require(build, "build it")
      return copy
    }

    deinit { _ = Shell.run("rm -rf \(Shell.quoted(folder))") }

    // Debug: a part is built again in a second or two, and few schedules are needed.
    private static let build = """
      env -u CPUISOLATION_CI swift build --traits ModelChecking --product isolation-mutants \
      -Xswiftc -enforce-exclusivity=unchecked
      """

    /// Applies the patch, explores its scenario, and takes the patch back.
    func run(_ mutant: PatchMutant) -> Mutant.Verdict {
      let patch = Shell.quoted(mutant.path)
      do throws(Mutant.Unresolved) {
        // Nothing is done unless all of it can be.
        try require("patch -p1 -F0 -s --dry-run <\(patch)", "apply the patch")
        try require("patch -p1 -F0 -s <\(patch)", "apply the patch")
      } catch {
        return .unresolved(error.sentence)
      }
      defer { _ = shell("patch -p1 -F0 -s -R <\(patch)") }
      do throws(Mutant.Unresolved) {
        try require(Self.build, "build with the patch")
      } catch {
        return .unresolved(error.sentence)
      }
      let (status, output) = shell(
        """
        timeout 300 .build/debug/isolation-mutants --scenario \(Shell.quoted(mutant.scenario)) \
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

    private func shell(_ command: String) -> (status: Int32, output: String) {
      Shell.run("cd \(Shell.quoted(folder)) && \(command)")
    }

    private func require(_ command: String, _ action: String) throws(Mutant.Unresolved) {
      let (status, output) = shell(command)
      if status == 0 { return }
      let errors = output.split(separator: "\n").filter { $0.contains("error: ") }.prefix(4)
      let shown = errors.isEmpty ? String(output.suffix(400)) : errors.joined(separator: "\n")
      throw Mutant.Unresolved(sentence: "cannot \(action): \(shown)")
    }
  }
#endif

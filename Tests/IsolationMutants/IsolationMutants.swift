// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The command `isolation-mutants`: every wrong variant of the library's orderings, each killed by a
/// scenario, or else.
@main
struct IsolationMutants {
  static func main() {
    #if ModelChecking
      exit(MutantCommand.run(arguments: Array(CommandLine.arguments.dropFirst())))
    #else
      let sentence = """
        isolation-mutants: the atomics of this build are real. Build it with the model:
          swift run -c release --traits ModelChecking isolation-mutants

        """
      unsafe _ = sentence.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
      exit(64)
    #endif
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Glibc

@main
struct IsolationBench {
  static func main() {
    exit(BenchmarkCommand.run(arguments: CommandLine.arguments.dropFirst()))
  }
}

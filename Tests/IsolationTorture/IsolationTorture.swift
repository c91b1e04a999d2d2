// SPDX-License-Identifier: Apache-2.0

internal import Glibc

@main
struct IsolationTorture {
  static func main() {
    exit(TortureCommand.run(arguments: CommandLine.arguments.dropFirst()))
  }
}

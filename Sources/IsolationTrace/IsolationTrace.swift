// SPDX-License-Identifier: Apache-2.0

internal import Glibc

@main
struct IsolationTrace {
  static func main() {
    exit(TraceCommand.run(Array(CommandLine.arguments.dropFirst())))
  }
}

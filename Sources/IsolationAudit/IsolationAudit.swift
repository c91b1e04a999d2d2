// SPDX-License-Identifier: Apache-2.0

internal import Glibc

@main
struct IsolationAudit {
  static func main() {
    exit(AuditCommand.run(Array(CommandLine.arguments.dropFirst())))
  }
}

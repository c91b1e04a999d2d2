// SPDX-License-Identifier: Apache-2.0

import Glibc

@main
struct IsolationDemo {
  static func main() {
    exit(Command.run(Array(CommandLine.arguments.dropFirst())))
  }
}

// SPDX-License-Identifier: Apache-2.0

@main
struct IsolationBench {
  static func main() {}
}

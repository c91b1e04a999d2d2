// SPDX-License-Identifier: Apache-2.0

@main
struct IsolationDemo {
  static func main() {}
}

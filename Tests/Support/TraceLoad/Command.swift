// SPDX-License-Identifier: Apache-2.0

import CPUIsolationTrace

/// `TraceLoad CPUS FIRST-LAST EVENTS kernel|program FILE` writes a trace.dat.
@main
enum Command {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    let numbers = arguments.flatMap { $0.split(separator: "-") }.compactMap { Int($0) }
    guard arguments.count == 5, numbers.count >= 4, let file = arguments.last else {
      fatalError("wanted: CPUS FIRST-LAST EVENTS kernel|program FILE")
    }
    let load = TraceLoad(
      cpuCount: numbers[0], isolated: numbers[1]...numbers[2], events: numbers[3],
      hasKernel: arguments.contains("kernel"))
    try load.recording().write(.traceDat, to: file)
  }
}

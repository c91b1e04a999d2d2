// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc

/// What a scrape of the statistics takes.
enum SampleRows {
  static func all(_ options: Options) throws -> [Row] {
    try [
      row("statistics of 64 CPUs, 8 work types (us)", attaching: false, options),
      row("statistics of 64 CPUs with threads, 8 work types (us)", attaching: true, options),
    ]
  }

  private static func row(
    _ name: String, attaching: Bool, _ options: Options
  ) throws -> Row {
    let coordinator = try Coordinator(
      .init(housekeeping: [0], isolated: CPUMask(1..<64), pinning: .none))
    var types: [WorkType] = []
    for number in 0..<8 { types.append(try coordinator.register("work \(number)") { _ in }) }
    if attaching {
      for cpu in coordinator.isolated {
        try coordinator.launch(on: cpu) { cpu in while !coordinator.isClosed { cpu.idle() } }
      }
      for type in types { coordinator.send(type, to: coordinator.isolated) }
    }
    var runs: [Double] = []
    for _ in 0..<options.runs {
      var times: [Double] = []
      for _ in 0..<max(10, Int(options.seconds * 20)) {
        let start = Machine.now
        var sum = 0.0
        for sample in coordinator.statistics().samples() { sum += sample.value }
        times.append(Double(Machine.now - start) / 1000)
        precondition(sum >= 0)
      }
      runs.append(times.median)
    }
    coordinator.close()
    return Row(name, runs, against: "50 us", [50], budget: 1)
  }
}

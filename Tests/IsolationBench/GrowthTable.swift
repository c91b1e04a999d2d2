// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// How what costs by CPU or by type grows: nanoseconds of one operation, by how many of them there are.
enum GrowthTable {
  private static let repetitions = 31
  private static let cpus = [1, 2, 4, 8, 16, 32, 64]
  private static let types = [1, 2, 4, 8, 16, 32, 61]

  /// The table, measured now.
  static func measure() throws(IsolationError) -> String {
    let stage = try Stage()
    let clock = stage.clock
    var text = Machine(stage).text
    var lines = [["CPUs"] + cpus.map(String.init)]
    lines.append(row("masked send", cpus) { sends(clock, $0, catchingUp: false) })
    lines.append(row("broadcast", cpus) { sends(clock, $0, catchingUp: true) })
    for operation in Offline.allCases {
      lines.append(row(operation.rawValue, cpus) { operation.measure(clock, $0) })
    }
    text += PoolTable.aligned(lines) + "\n"
    lines = [["types"] + types.map(String.init)]
    lines.append(row("drain", types) { drains(stage, $0) })
    return text + PoolTable.aligned(lines)
  }

  private static func row(
    _ name: String, _ counts: [Int], _ sample: (Int) -> Double
  ) -> [String] {
    [name]
      + counts.map { count in
        let median = Spread((0..<repetitions).map { _ in sample(count) }).median
        return median.isFinite ? BenchmarkTable.number(median) : "-"
      }
  }

  /// A send to so many CPUs in user.
  private static func sends(
    _ clock: BenchmarkClock, _ count: Int, catchingUp: Bool
  ) -> Double {
    let sends = 1000
    let mask = CPUMask(1..<1 + count)
    return CatchUpStage.run(sending: { stage, sender in
      let work = catchingUp ? stage.catchUp : stage.bit
      return clock.time(sends) { SendBenchmarks.maskedSends(sender, work, to: mask, sends) }
    })
  }

  /// An entry that finds so many types pending, and runs them.
  private static func drains(_ stage: borrowing Stage, _ count: Int) -> Double {
    let rounds = 100
    var cycles: UInt64 = 0
    for _ in 0..<rounds {
      for index in 0..<count { unsafe _ = stage.sender.send(stage.works[index], to: Stage.ownCPU) }
      cycles &+= stage.clock.cycles { stage.cpu.enterKernel() }
      stage.cpu.enterUser()
    }
    return Double(cycles) * stage.clock.nanosecondsPerCycle / Double(rounds)
  }

  /// What a coordinator does that looks at all its CPUs, be they there or not.
  private enum Offline: String, CaseIterable {
    case gracePeriod = "grace period"
    case statistics
    case close

    func measure(_ clock: BenchmarkClock, _ cpus: Int) -> Double {
      guard
        let coordinator = try? Coordinator(
          .init(housekeeping: [], isolated: CPUMask(0..<cpus), watchdog: nil, traceEvents: 0))
      else { return .nan }
      let count = self == .gracePeriod ? 1000 : 1
      let time = clock.time(count) {
        switch self {
        case .gracePeriod: for _ in 0..<count { _ = coordinator.startGracePeriod() }
        case .statistics: _ = coordinator.statistics()
        case .close: _ = coordinator.close()
        }
      }
      _ = coordinator.close()
      return time
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What catching up costs the sender, per CPU in user of 64, and whoever enters.
///
/// The design's budgets are times and not ratios: there the peer is that time.
enum CatchUpBenchmarks {
  static let all: [Benchmark] = [
    Benchmark("catch-up:broadcast", budget: 1, against: "2 ns a CPU", { _, _ in 2 }) {
      stage, count in
      let clock = stage.clock
      return CatchUpStage.run(sending: { catchUp, sender in
        broadcast(clock, sender, catchUp.catchUp, count)
      })
    },
    Benchmark(
      "catch-up:broadcast-of-bits", budget: 1, against: "the same by bits, a CPU",
      { stage, count in
        let clock = stage.clock
        return CatchUpStage.run(sending: { catchUp, sender in
          broadcast(clock, sender, catchUp.bit, count)
        })
      }
    ) { stage, count in
      let clock = stage.clock
      return CatchUpStage.run(sending: { catchUp, sender in
        broadcast(clock, sender, catchUp.catchUp, count)
      })
    },
    Benchmark(
      "catch-up:entry-exit", budget: 1, against: "entry and exit without catch-up types + 1 ns",
      { stage, count in
        1 + stage.time(count) { TransitionBenchmarks.roundTrips(stage.cpu, count) }
      }
    ) { stage, count in
      let clock = stage.clock
      return CatchUpStage.run { _, cpu in
        clock.time(count) { TransitionBenchmarks.roundTrips(cpu, count) }
      }
    },
    Benchmark(
      "catch-up:drain", budget: 1, against: "30 ns over entry and exit", { _, _ in 30 }
    ) { stage, count in
      let clock = stage.clock
      return CatchUpStage.run { catchUp, cpu in
        let bare = clock.time(count) { TransitionBenchmarks.roundTrips(cpu, count) }
        return clock.time(count) { drains(cpu, catchUp.catchUp, count) } - bare
      }
    },
  ]

  /// The nanoseconds per CPU of a send to all 64; `count` is the number of looks.
  private static func broadcast(
    _ clock: BenchmarkClock, _ sender: borrowing Sender, _ work: WorkType, _ count: Int
  ) -> Double {
    let width = CatchUpStage.targets.count
    let rounds = max(1, count / width)
    sends(sender, work, 4)  // warms up: the pages of the counters
    return clock.time(rounds * width) { sends(sender, work, rounds) }
  }

  @inline(never)
  private static func sends(_ sender: borrowing Sender, _ work: WorkType, _ count: Int) {
    for _ in 0..<count { sender.send(work, to: CatchUpStage.targets) }
  }

  @inline(never)
  private static func drains(_ cpu: borrowing LocalCPU, _ work: WorkType, _ count: Int) {
    for _ in 0..<count {
      cpu.send(work, to: cpu.number)
      cpu.enterKernel()
      cpu.enterUser()
    }
  }
}

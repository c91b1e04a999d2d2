// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What one pending type adds to entry and exit: a send, an entry that drains it and an exit, less
/// the send, less the entry and exit.
enum DrainBenchmarks {
  static let all: [Benchmark] = [
    // The design's budget is a time and not a ratio: the peer is that time. It was set on a machine
    // whose locked instructions take 2.2 ns; a drain has one of its own, so where they take 8 ns no
    // program keeps to it, and the next row tells more.
    Benchmark("drain", budget: 1, against: "3 ns over entry and exit", { _, _ in 3 }) {
      stage, count in ours(stage, count)
    },
    Benchmark(
      "drain:protocol", budget: 1.8, against: "C, the same protocol and a table of functions",
      { stage, count in theirs(stage, count) }
    ) { stage, count in ours(stage, count) },
  ]

  private static func ours(_ stage: borrowing Stage, _ count: Int) -> Double {
    let all = stage.time(count) { drains(stage.sender, stage.cpu, stage.work, count) }
    let send = unsafe SendBenchmarks.newSends(stage, count) {
      unsafe SendBenchmarks.sendEach($0, $1, to: Stage.ownCPU)
    }
    let roundTrip = stage.time(count) { TransitionBenchmarks.roundTrips(stage.cpu, count) }
    return all - send - roundTrip
  }

  private static func theirs(_ stage: borrowing Stage, _ count: Int) -> Double {
    let (peer, type) = unsafe (stage.peer, UInt64(stage.work.bit))
    let all = stage.time(count) { unsafe _ = peer_drains(peer, type, UInt64(count)) }
    let send = unsafe SendBenchmarks.peerNewSends(stage, count) {
      unsafe peer_send_each($0, $1, $2)
    }
    let roundTrip = stage.time(count) {
      unsafe peer_round_trips_exchange(peer, UInt64(count))
    }
    return all - send - roundTrip
  }

  @inline(never)
  static func drains(
    _ sender: borrowing Sender, _ cpu: borrowing LocalCPU, _ work: WorkType, _ count: Int
  ) {
    for _ in 0..<count {
      sender.send(work, to: Stage.ownCPU)
      cpu.enterKernel()
      cpu.enterUser()
    }
  }
}

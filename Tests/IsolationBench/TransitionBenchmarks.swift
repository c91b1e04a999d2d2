// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// Entry and exit with nothing pending, and the other steps of an owner that finds nothing to do.
///
/// The design's budget is 1.05 for entry and exit, explicit or scoped. The limits of the other rows
/// are a third above what was measured: they notice when something gets dearer.
enum TransitionBenchmarks {
  static let all: [Benchmark] = [
    Benchmark("entry-exit", budget: 1.05, peers: protocolInC) { stage, count in
      stage.time(count) { roundTrips(stage.cpu, count) }
    },
    Benchmark("entry-exit:scoped", budget: 1.05, peers: protocolInC) { stage, count in
      stage.time(count) { scopedRoundTrips(stage.cpu, count) }
    },
    Benchmark("entry-exit:handle", budget: 1.9, peers: protocolInC) { stage, count in
      let handle = stage.cpu.handle
      return stage.time(count) { handleRoundTrips(handle, count) }
    },
    Benchmark(
      "entry-exit:called", budget: 1.5, against: "C, entry and exit as functions",
      { stage, count in
        stage.time(count) {
          unsafe peer_call_round_trips(
            peer_enter, peer_leave, UnsafeMutableRawPointer(stage.peer), UInt64(count))
        }
      }
    ) { stage, count in
      unsafe withUnsafePointer(to: stage.cpu) { cpu in
        let address = unsafe UnsafeMutableRawPointer(mutating: cpu)
        return stage.time(count) {
          unsafe peer_call_round_trips(
            { unsafe probeEntry($0) }, { unsafe probeExit($0) }, address, UInt64(count))
        }
      }
    },
    Benchmark(
      "entry-exit:unprotected", budget: 1.25, against: "C, exchange and store without the look",
      { stage, count in
        stage.time(count) { unsafe peer_round_trips_plain(stage.peer, UInt64(count)) }
      }
    ) { stage, count in
      stage.time(count) { roundTrips(stage.cpu, count) }
    },
    Benchmark(
      "poll", budget: 1.5, against: "C, one load and a branch",
      { stage, count in
        stage.time(count) { unsafe _ = peer_polls(stage.peer, UInt64(count)) }
      }
    ) { stage, count in
      stage.time(count) { polls(stage.cpu, count) }
    },
    Benchmark(
      "quiescent", budget: 1.4, against: "C, one locked addition and a load",
      { stage, count in
        stage.time(count) { unsafe peer_quiescent_states(stage.peer, UInt64(count)) }
      }
    ) { stage, count in
      // Not in a section, which would hold what a grace period passes over.
      let handle = stage.cpu.handle
      handle.enterKernel()
      defer { handle.enterUser() }
      return stage.time(count) { quiescentStates(stage.cpu, count) }
    },
  ]

  private static let protocolInC: [(name: String, sample: Benchmark.Sample)] = [
    (
      "C, exchange + load + store",
      { stage, count in
        stage.time(count) { unsafe peer_round_trips_exchange(stage.peer, UInt64(count)) }
      }
    ),
    (
      "C, exchanging addition + load + store",
      { stage, count in
        stage.time(count) { unsafe peer_round_trips_add(stage.peer, UInt64(count)) }
      }
    ),
  ]

  @inline(never)
  static func roundTrips(_ cpu: borrowing LocalCPU, _ count: Int) {
    for _ in 0..<count {
      cpu.enterKernel()
      cpu.enterUser()
    }
  }

  @inline(never)
  private static func scopedRoundTrips(_ cpu: borrowing LocalCPU, _ count: Int) {
    for _ in 0..<count { cpu.inKernel {} }
  }

  @inline(never)
  private static func handleRoundTrips(_ cpu: CPUHandle, _ count: Int) {
    for _ in 0..<count {
      cpu.enterKernel()
      cpu.enterUser()
    }
  }

  @inline(never)
  static func polls(_ cpu: borrowing LocalCPU, _ count: Int) {
    for _ in 0..<count { cpu.poll() }
  }

  @inline(never)
  private static func quiescentStates(_ cpu: borrowing LocalCPU, _ count: Int) {
    for _ in 0..<count { cpu.declareQuiescent() }
  }
}

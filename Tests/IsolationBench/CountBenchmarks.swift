// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// Allocations and reference counts of the hot paths, per thousand operations: the figures of these
/// rows are counts. The peer is the same path with one seeded on purpose per operation, which shows
/// that the counter counts.
enum CountBenchmarks {
  static let all: [Benchmark] =
    HotPath.allCases.map { path in
      count(
        "allocations", of: path, against: "the path with a seeded allocation", peer_allocations,
        seed: seedAllocation)
    }
    + HotPath.allCases.map { path in
      count(
        "retains", of: path, against: "the path with a seeded retain and release",
        peer_reference_counts, seed: seedRetain)
    }

  private static let operations = 1000

  private static func count(
    _ what: String, of path: HotPath, against peer: String,
    _ counter: @escaping @Sendable @convention(c) () -> UInt64, seed: @escaping @Sendable () -> Void
  ) -> Benchmark {
    Benchmark(
      "\(what):\(path.rawValue)", budget: 0, against: peer,
      { stage, count in
        path.run(on: stage) { operate in
          let before = counter()
          for _ in 0..<count {
            operate(1)
            seed()
          }
          return Double(counter() - before) * Double(operations) / Double(count)
        }
      }
    ) { stage, count in
      path.run(on: stage) { operate in
        operate(1)  // warms up: the first operation may meet something lazy
        let before = counter()
        operate(count)
        return Double(counter() - before) * Double(operations) / Double(count)
      }
    }.needing(.counters, count: operations)
  }

  private final class Seed: Sendable {}
  private static let seed = Seed()

  // Functions of their own: the optimiser would put the object on the stack, and take the retain
  // and release out.

  @Sendable @inline(never)
  private static func seedAllocation() { _ = makeSeed() }

  @inline(never)
  private static func makeSeed() -> Seed { Seed() }

  @Sendable @inline(never)
  private static func seedRetain() {
    retainSeed()
    unsafe Unmanaged.passUnretained(seed).release()
  }

  @inline(never)
  private static func retainSeed() { _ = unsafe Unmanaged.passUnretained(seed).retain() }
}

/// The operations that allocate nothing and count no references.
enum HotPath: String, CaseIterable, Sendable {
  case entryExit = "entry-exit"
  case deferredSend = "deferred-send"
  case maskedSend = "masked-send"
  case unregisteredSend = "unregistered-send"
  case drain
  case poll
  case record

  /// Runs `body` with a function that does the operation so often, on a thread where the operation
  /// is allowed.
  func run(
    on stage: borrowing Stage, _ body: @escaping @Sendable ((Int) -> Void) -> Double
  ) -> Double {
    switch self {
    case .entryExit: return body { TransitionBenchmarks.roundTrips(stage.cpu, $0) }
    case .deferredSend:
      return body { SendBenchmarks.sends(stage.sender, stage.work, to: Stage.firstTarget, $0) }
    case .maskedSend:
      return body { SendBenchmarks.maskedSends(stage.sender, stage.work, to: Stage.targets, $0) }
    case .unregisteredSend:
      let (coordinator, work) = (stage.coordinator, stage.work)
      return OtherThread.run {
        body { SendBenchmarks.unregisteredSends(coordinator, work, to: Stage.firstTarget, $0) }
      }
    case .drain:
      return body { DrainBenchmarks.drains(stage.sender, stage.cpu, stage.work, $0) }
    case .poll: return body { TransitionBenchmarks.polls(stage.cpu, $0) }
    case .record:
      return TraceStage.run(.on, as: .cpu) { tracepoint in
        body { TraceBenchmarks.records(tracepoint, $0) }
      }
    }
  }
}

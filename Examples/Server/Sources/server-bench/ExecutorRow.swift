// SPDX-License-Identifier: Apache-2.0

import CMachine
import CPUIsolation
import Glibc
import NIOPosix

/// From the task that queues a job to the job, on a thread that sleeps.
enum ExecutorRow {
  @MainActor
  static func hop(_ options: Options) async throws -> Row {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let executor = try coordinator.makeTaskExecutor(on: [1])
    _ = machine_wake_on_time()
    var (ours, theirs): ([Double], [Double]) = ([], [])
    for _ in 0..<options.runs {
      var (own, other): ([Double], [Double]) = ([], [])
      for _ in 0..<max(10, Int(options.seconds * 100)) {
        Machine.sleep(300_000)
        var start = Machine.now
        own.append(
          Double(await Task(executorPreference: executor) { Machine.now }.value - start) / 1000)
        Machine.sleep(300_000)
        start = Machine.now
        other.append(Double(await Task.detached { Machine.now }.value - start) / 1000)
      }
      ours.append(own.median)
      theirs.append(other.median)
    }
    try await NIOThreadPool.singleton.runIfActive {
      executor.shutDown()
      coordinator.close()
    }
    return Row(
      "hop to a CPU that sleeps, p50 (us)", ours, against: "the global pool", theirs, budget: 1.3)
  }
}

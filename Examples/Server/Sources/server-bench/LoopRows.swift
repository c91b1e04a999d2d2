// SPDX-License-Identifier: Apache-2.0

import Atomics
import CMachine
import CPUIsolation
import CPUIsolationNIO
import Glibc
import NIOConcurrencyHelpers
import NIOPosix
import Synchronization

/// Loops of this process that sleep or look: what a change costs them and its sender, and what a look costs.
enum LoopRows {
  private struct Figures {
    var announcing: [Double] = []
    var broadcasting: [Double] = []
    var ourSleeps: [Double] = []
    var theirSleeps: [Double] = []
    var calls: [Double] = []
    /// By what is looked at: one loop alone, and both at once.
    var looks: [String: [Double]] = [:]
    var bothLook: [String: [Double]] = [:]
  }

  static func all(_ options: Options) async throws -> [Row] {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1, 2]))
    let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let table = Options.table(options.keys)
    let own = try LoopLocal("table", loops, table)
    let (box, mutex, atomic) = (BoxTable(table), MutexTable(table), AtomicTable(table))
    let refresh = try coordinator.register("refresh") { _ in }
    let figures = try await NIOThreadPool.singleton.runIfActive {
      var figures = Figures()
      _ = machine_wake_on_time()
      let looks: [(String, @Sendable () -> Int)] = [
        ("ours", { own.withValue { $0.count } }), ("mutex", { mutex.read { $0.count } }),
        ("box", { box.read { $0.count } }), ("atomic", { atomic.read { $0.count } }),
      ]
      for _ in 0..<options.runs {
        try changes(&figures, coordinator, refresh, loops, group, options)
        for _ in 0..<200 {
          asleep(coordinator)
          let start = Machine.now
          coordinator.call(on: [1]) { _ in }
          figures.calls.append(Double(Machine.now - start) / 1000)
        }
        for (name, look) in looks {
          let alone = try loops.group.next().submit { time(look) }.wait()
          figures.looks[name, default: []].append(alone)
          let both = try loops.group.makeIterator().map { $0.submit { time(look) } }
            .map { try $0.wait() }
          figures.bothLook[name, default: []].append(both.median)
        }
      }
      return figures
    }
    try await group.shutdownGracefully()
    try await loops.shutDown(timeout: .seconds(60))
    return rows(figures)
  }

  private static func rows(_ figures: Figures) -> [Row] {
    [
      Row(
        "wake-ups of sleeping loops per change", figures.ourSleeps,
        against: Variant.broadcast.title, figures.theirSleeps, budget: 0),
      Row(
        "a change's cost to its sender (ns)", figures.announcing,
        against: Variant.broadcast.title, figures.broadcasting, budget: 0.01),
    ] + rows("access in the loop (ns)", figures.looks)
      + rows("access in two loops at once (ns)", figures.bothLook) + [
        Row(
          "call to a loop asleep in epoll, p99 (us)", [figures.calls.quantile(0.99)],
          against: "1 ms", [1000], budget: 1)
      ]
  }

  private static func rows(_ name: String, _ looks: [String: [Double]]) -> [Row] {
    [(Variant.mutex, 0.45), (.box, 1), (.atomic, 1)].map { variant, budget in
      Row(
        name, looks["ours"]!, against: variant.title, looks[variant.rawValue]!, budget: budget)
    }
  }

  private static func asleep(_ coordinator: Coordinator) {
    while coordinator.context(of: 1) != .idle || coordinator.context(of: 2) != .idle {
      Machine.sleep(50_000)
    }
    // From saying so to epoll.
    Machine.sleep(200_000)
  }

  /// Announcements to loops that sleep: what they cost their sender, and how often the loops wake up.
  private static func changes(
    _ figures: inout Figures, _ coordinator: Coordinator, _ refresh: WorkType,
    _ loops: IsolatedEventLoops, _ group: MultiThreadedEventLoopGroup, _ options: Options
  ) throws {
    let count = max(10, Int(options.seconds * 400))
    let cpus = loops.cpus
    asleep(coordinator)
    let sender = try coordinator.makeSender()
    let (ourTime, ourSleeps) = try announce(count) { sender.send(refresh, to: cpus) }
    figures.announcing.append(ourTime)
    figures.ourSleeps.append(ourSleeps)
    let others = Array(group.makeIterator())
    let (theirTime, theirSleeps) = try announce(count) {
      for loop in others { loop.execute {} }
    }
    figures.broadcasting.append(theirTime)
    figures.theirSleeps.append(theirSleeps)
  }

  /// A fifth of a millisecond apart, so that a loop that was woken sleeps again.
  ///
  /// - Returns: the median of the sender's nanoseconds, and how often a loop went back to sleep per announcement.
  private static func announce(
    _ count: Int, _ body: () -> Void
  ) throws -> (nanoseconds: Double, sleeps: Double) {
    let before = try LoopTimes()
    var times: [Double] = []
    for _ in 0..<count {
      Machine.sleep(200_000)
      // What the clock takes is no part of it.
      let start = Machine.now
      let begin = Machine.now
      body()
      times.append(Double(Machine.now - begin - (begin - start)))
    }
    Machine.sleep(10_000_000)
    let after = try LoopTimes()
    return (times.median, (after.sleeps - before.sleeps) / Double(count))
  }

  /// Nanoseconds of one look.
  private static func time(_ look: () -> Int) -> Double {
    let count = 1_000_000
    let start = Machine.now
    var sum = 0
    for _ in 0..<count { sum &+= look() }
    let took = Machine.now - start
    precondition(sum > 0)
    return Double(took) / Double(count)
  }
}

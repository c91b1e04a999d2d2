// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// Coordinators that are made, used, and closed while they are in use.
struct Lifetime {
  /// Makes one after the other until the run is over.
  static func run(_ torture: Torture) {
    var turn = Turn(torture, stream: 30)
    while !torture.isOver {
      do throws(IsolationError) {
        try live(&turn)
      } catch {
        turn.check(false, "a coordinator cannot be made or used: \(error)")
      }
      usleep(2000)
    }
  }

  private static func live(_ turn: inout Turn) throws(IsolationError) {
    let interrupters: [Interrupter] = [.poll, .park, .signal]
    var configuration = Coordinator.Configuration(
      housekeeping: turn.random.oneIn(2) ? [0] : [], isolated: [1, 2], pinning: .none,
      isolatedInterrupter: interrupters[turn.random.below(3)], traceEvents: 16)
    configuration.watchdog?.report = { _ in }
    if turn.random.oneIn(3) { configuration.watchdog = nil }
    let coordinator = try Coordinator(configuration)
    let runs = WordTable(3)
    let work = try coordinator.register("work") { cpu in runs.add(cpu) }
    var threads: [CPUThread] = []
    for cpu in coordinator.cpus {
      let thread = try coordinator.launch(on: cpu) { local in
        while !coordinator.isClosed {
          local.inUser { local.poll() }
          if local.number == 0 { local.idle(for: .milliseconds(1)) }
        }
      }
      threads.append(thread)
    }
    let sender = TortureThread {
      while coordinator.send(work, to: coordinator.cpus).refusal == nil {
        _ = coordinator.call(on: [1], timeout: .milliseconds(1)) { _ in }
        _ = coordinator.synchronize(timeout: .milliseconds(5))
      }
    }
    usleep(UInt32(turn.random.below(3000)))
    let outcome = coordinator.close(timeout: Torture.generous)
    turn.check(outcome == .settled, "a coordinator closes as \(outcome)")
    for thread in threads { thread.join() }
    sender?.join()
    check(coordinator, work, runs, &turn)
    turn.count(.coordinator)
  }

  /// Whether the account of a coordinator that is over balances.
  private static func check(
    _ coordinator: Coordinator, _ work: WorkType, _ runs: WordTable, _ turn: inout Turn
  ) {
    let statistics = coordinator.statistics()
    for cpu in coordinator.cpus {
      let counts = statistics[work, on: cpu]
      let sum = counts.executed + counts.merged + counts.pending + counts.gone
      turn.check(
        counts.sent == sum && counts.executed == runs.load(cpu),
        "a closed coordinator is out of balance on CPU \(cpu), which ran \(runs.load(cpu)): \(counts)"
      )
    }
    let late = coordinator.call(on: coordinator.cpus) { _ in }
    turn.check(late.refusal == .closed, "a closed coordinator calls: \(late)")
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// A housekeeping thread: changes what isolated CPUs use, and sends what they have to do about it.
struct Churn {
  let experiment: Experiment
  /// Which of the housekeepers this is.
  let index: Int

  /// Sends until it is told to stop.
  func run(_ cpu: borrowing LocalCPU) {
    do throws(IsolationError) {
      var upkeep = try Upkeep(experiment, index)
      try run(cpu, experiment.coordinator.makeSender(), &upkeep)
    } catch {
      experiment.fail(error)
    }
  }

  private func run(
    _ cpu: borrowing LocalCPU, _ sender: consuming Sender, _ upkeep: inout Upkeep
  ) throws(IsolationError) {
    var rows = Callback.allCases.map {
      Row($0, experiment.housekeepers, index, targets: experiment.targets.count)
    }
    var state = [UInt64](repeating: 1, count: 1024)
    while !experiment.stopSending.isSet {
      let now = ContinuousClock.now
      for row in rows.indices where rows[row].due <= now {
        Self.change(&state)
        try burst(&rows[row], sender, &upkeep)
        rows[row].plan(after: now)
        // Others may be waiting for this thread, as it waits for them.
        cpu.safePoint()
      }
      let next = rows.map(\.due).min() ?? now
      let pause = ContinuousClock.now.duration(to: next)
      if pause > .zero { cpu.idle(for: min(pause, .milliseconds(20))) }
    }
    experiment.stopSending.keep(state[0])
  }

  /// When a callback is due next, and whose turn it is.
  private struct Row {
    let callback: Callback
    let interval: Duration
    var due: ContinuousClock.Instant
    var turn: Int
    /// Bursts in earnest have turns of their own: each target gets both kinds.
    var earnestTurn: Int
    var isInEarnest = false

    init(_ callback: Callback, _ housekeepers: Int, _ index: Int, targets: Int) {
      self.callback = callback
      interval = callback.interval(housekeepers: housekeepers)
      // Housekeepers take turns, so that they do not all send at the same moment.
      due = .now + interval * (index + 1) / (housekeepers + 1)
      turn = index
      earnestTurn = index % targets
    }

    /// Some time from now: at equal distances, rare callbacks would always come together with
    /// frequent ones. A thread that was late does not catch up, since the load would come in
    /// floods.
    mutating func plan(after now: ContinuousClock.Instant) {
      due = max(due + interval * Double.random(in: 0.5...1.5), now)
    }
  }

  /// Bursts that the witness counts, and bursts in earnest, take turns.
  private func burst(
    _ row: inout Row, _ sender: borrowing Sender, _ upkeep: inout Upkeep
  ) throws(IsolationError) {
    row.isInEarnest.toggle()
    if row.isInEarnest {
      let target = experiment.targets[row.earnestTurn]
      row.earnestTurn = (row.earnestTurn + 1) % experiment.targets.count
      if try upkeep.perform(row.callback, to: target) { return }
    }
    for _ in 0..<row.callback.burst { send(&row, sender) }
  }

  private func send(_ row: inout Row, _ sender: borrowing Sender) {
    if row.callback.isBroadcast {
      send(row.callback, to: experiment.coordinator.isolated, sender)
    } else {
      row.turn = (row.turn + 1) % experiment.targets.count
      send(row.callback, to: CPUMask(experiment.targets[row.turn]), sender)
    }
  }

  private func send(_ callback: Callback, to mask: CPUMask, _ sender: borrowing Sender) {
    let sends = mask.map { cpu in
      (cpu: cpu, number: experiment.witness.write(sender: index, callback, to: cpu))
    }
    let covered: CPUMask
    if callback == .plainCall {
      covered = experiment.post(to: mask)
    } else {
      covered =
        sender.send(experiment.work(callback), to: mask, urgency: experiment.mode.urgency).covered
    }
    for (cpu, number) in sends where covered.contains(cpu) {
      experiment.witness.promise(number, sender: index, callback, to: cpu)
    }
  }

  /// What housekeepers do besides: some microseconds of work on memory of their own. Nothing is
  /// mapped or unmapped in the operating system, which would interrupt the isolated threads for its
  /// own reasons.
  private static func change(_ state: inout [UInt64]) {
    for index in state.indices { state[index] = IsolatedLoop.step(state[index]) }
  }
}

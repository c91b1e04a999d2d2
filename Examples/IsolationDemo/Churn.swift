// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// A housekeeping thread: changes state, and sends what isolated CPUs have to do about it.
struct Churn {
  let experiment: Experiment
  /// Which of the housekeepers this is.
  let index: Int

  /// Sends until it is told to stop.
  func run(_ cpu: borrowing LocalCPU) {
    let sender: Sender
    do {
      sender = try experiment.coordinator.makeSender()
    } catch {
      return experiment.fail(error)
    }
    var rows = Callback.allCases.map { Row($0, experiment.housekeepers, index) }
    var state = [UInt64](repeating: 1, count: 1024)
    while !experiment.stopSending.isSet {
      let now = ContinuousClock.now
      for row in rows.indices where rows[row].due <= now {
        Self.change(&state)
        for _ in 0..<rows[row].callback.burst { send(&rows[row], sender) }
        rows[row].plan(after: now)
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

    init(_ callback: Callback, _ housekeepers: Int, _ index: Int) {
      self.callback = callback
      interval = callback.interval(housekeepers: housekeepers)
      // Housekeepers take turns, so that they do not all send at the same moment.
      due = .now + interval * (index + 1) / (housekeepers + 1)
      turn = index
    }

    /// Some time from now: at equal distances, rare callbacks would always come together with
    /// frequent ones. A thread that was late does not catch up, since the load would come in
    /// floods.
    mutating func plan(after now: ContinuousClock.Instant) {
      due = max(due + interval * Double.random(in: 0.5...1.5), now)
    }
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

  /// The change that makes the sends necessary: some microseconds of work on memory of its own.
  /// Nothing is mapped or unmapped, since that would have the operating system interrupt the
  /// isolated threads for its own reasons.
  private static func change(_ state: inout [UInt64]) {
    for index in state.indices { state[index] = IsolatedLoop.step(state[index]) }
  }
}

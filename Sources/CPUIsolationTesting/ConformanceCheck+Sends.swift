// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Sends from inside handlers: another's to it, and its own to itself.
extension ConformanceCheck {
  /// `reference` is the state that one change leads to, where the state can be relied on.
  mutating func checkSends(_ reference: State?) throws {
    for order in [WorkType.DrainOrder.early, .late] {
      let trial = try relayedTrial(order)
      guard try comesToRest(trial) else { return }
      guard trial.machine.executed(trial.subject.work, on: ConformanceTrial<State>.cpu) > 0 else {
        return note(
          .sendsFromInside, .failed,
          "sent inside another handler, it had not run when the CPU came to rest")
      }
      let state = try trial.state()
      if let reference, state != reference {
        return note(
          .sendsFromInside, .failed,
          "sent inside another handler, it leads to \(show(state)), sent by a thread to"
            + " \(show(reference)). It runs after the round that it was sent in: do not rely on"
            + " what else is pending")
      }
    }
    note(
      .sendsFromInside, .passed,
      "sent by handlers before it and after it, to their own CPU and another, it came to rest"
    )
  }

  /// Plays a drain in which another type's handler sends the work, to its own CPU and to one that
  /// is in user.
  private func relayedTrial(_ order: WorkType.DrainOrder) throws -> ConformanceTrial<State> {
    let relayed = Lock<[WorkType]>([])
    let relay = Lock<WorkType?>(nil)
    let targets: CPUMask = [ConformanceTrial<State>.cpu, ConformanceTrial<State>.neighbour]
    let trial = try trial { coordinator in
      var options = WorkType.Options()
      options.order = order
      // The coordinator holds its handlers: they must not hold it.
      let work = try coordinator.register("relay", options: options) { [unowned coordinator] _ in
        for type in relayed.withLock({ $0 }) { coordinator.send(type, to: targets) }
      }
      relay.withLock { $0 = work }
    }
    relayed.withLock { $0 = trial.subject.types }
    trial.subject.publish(0)
    for cpu in targets { try trial.enterUser(cpu) }
    if let work = relay.withLock({ $0 }) { trial.send([work]) }
    for cpu in targets { try trial.enterKernel(cpu) }
    return trial
  }

  private mutating func comesToRest(_ trial: ConformanceTrial<State>) throws -> Bool {
    for cpu in [ConformanceTrial<State>.cpu, ConformanceTrial<State>.neighbour] {
      if try trial.settle(cpu) { continue }
      note(
        .sendsFromInside, .failed,
        "it was still pending on CPU \(cpu) after \(options.settlingDrains) safe points: each run"
          + " sends it again. Send again only for what is left, and leave less each time")
      return false
    }
    return true
  }
}

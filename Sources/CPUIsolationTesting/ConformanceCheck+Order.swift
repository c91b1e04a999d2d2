// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Where it runs, next to what, and by whom.
extension ConformanceCheck {
  /// A way of making the work run, and what it is called in a finding.
  private struct Schedule {
    let name: String
    let play: (ConformanceTrial<State>) throws -> Void
  }

  mutating func checkOrders(_ reference: State) throws {
    var played = 0
    for schedule in (try orders()) + places + [neighbours] {
      let trial = try trial(before: surroundings)
      trial.subject.publish(0)
      try schedule.play(trial)
      let state = try trial.state()
      played += 1
      if state == reference { continue }
      return note(
        .drainOrder, .failed,
        "run \(schedule.name), it leads to \(show(state)), at an entry to \(show(reference)). Use"
          + " the `cpu` argument alone: not where the CPU is, not what another type has done,"
          + " and nothing that a run for another CPU uses up")
    }
    let helped = try checkHelp(reference)
    guard let helped else { return }
    note(.drainOrder, .passed, "\(played) orders\(helped) led to the same state")
  }

  /// Types before and after the subject's.
  private var surroundings: (Coordinator) throws -> Void {
    { coordinator in
      for order in [WorkType.DrainOrder.early, .normal, .late] {
        var options = WorkType.Options()
        options.order = order
        _ = try coordinator.register("surroundings", options: options) { _ in }
      }
    }
  }

  private var places: [Schedule] {
    [
      Schedule(name: "at an exit") { trial in
        trial.send(trial.subject.types)
        try trial.enterUser()
        try trial.enterKernel()
      },
      Schedule(name: "at a safe point") { trial in
        trial.send(trial.subject.types)
        try trial.step("at a safe point") { $0.safePoint() }
      },
      Schedule(name: "at a poll, in user") { trial in
        try trial.enterUser()
        trial.send(trial.subject.types, urgency: .immediate)
        try trial.step("at a poll") { $0.poll() }
        try trial.enterKernel()
      },
      Schedule(name: "inline, in a send to its own CPU") { trial in
        let types = trial.subject.types
        try trial.step("inline") { cpu in
          for type in types { cpu.send(type, to: cpu.number) }
        }
      },
    ]
  }

  /// Another CPU catches up first: what is shared must not be used up.
  private var neighbours: Schedule {
    Schedule(name: "after a run for another CPU") { trial in
      let neighbour = ConformanceTrial<State>.neighbour
      try trial.runOnce(neighbour)
      try trial.settle(neighbour)
      try trial.runOnce()
    }
  }

  /// Every order of drains of the types that maintain the state: of up to four of them.
  private func orders() throws -> [Schedule] {
    let count = try trial().subject.types.count
    if count == 1 { return [] }
    return Self.permutations(of: Array(0..<min(count, 4))).map { order in
      Schedule(name: "with types \(order) of the subject drained in that order") { trial in
        let types = trial.subject.types
        for index in order + (order.count..<types.count) {
          trial.send([types[index]])
          try trial.step("at a safe point") { $0.safePoint() }
        }
      }
    }
  }

  private static func permutations(of items: [Int]) -> [[Int]] {
    guard items.count > 1 else { return [items] }
    return items.indices.flatMap { index in
      var rest = items
      let first = rest.remove(at: index)
      return permutations(of: rest).map { [first] + $0 }
    }
  }

  /// Runs on behalf of the CPU, where the type allows it: what a passed finding says of it, and nil
  /// if it was broken.
  private mutating func checkHelp(_ reference: State) throws -> String? {
    let trial = try trial()
    trial.subject.publish(0)
    try trial.enterUser()
    let (coordinator, types) = (trial.machine.coordinator, trial.subject.types)
    let cpu = ConformanceTrial<State>.cpu
    let wasHelped = Lock(false)
    try trial.step("on behalf", on: 0) { _ in
      for type in types {
        let outcome = coordinator.send(type, to: cpu, urgency: .onBehalf)
        if outcome == .ranOnBehalf { wasHelped.withLock { $0 = true } }
      }
    }
    try trial.enterKernel()
    guard wasHelped.withLock({ $0 }) else { return ", none of them on behalf," }
    let state = try trial.state()
    if state == reference { return ", and a run on behalf," }
    note(
      .drainOrder, .failed,
      "run by another thread on behalf of the CPU, it leads to \(show(state)), at an entry to"
        + " \(show(reference)). Use the `cpu` argument, no thread-local state and not the current"
        + " CPU, or do not register it with `mayRunOnBehalf`")
    return nil
  }
}

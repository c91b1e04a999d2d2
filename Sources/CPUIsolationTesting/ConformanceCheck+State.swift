// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// How often it runs, and for what.
extension ConformanceCheck {
  /// The state that the plain schedule leads to; nil where that says nothing.
  mutating func checkCatchingUp() throws -> State? {
    let reference = try stateAfterOneChange()
    let again = try stateAfterOneChange()
    guard reference == again else {
      note(
        .catchesUp, .notChecked,
        "the same schedule led to \(show(reference)) and then to \(show(again)): read the state by"
          + " value, and make change number n the same each time")
      return nil
    }
    let idle = try trial()
    try idle.runOnce()
    let unchanged = try idle.state()
    guard unchanged != reference else {
      note(
        .catchesUp, .failed,
        "a change and a run after it leave the state at \(show(reference)), as without the change."
          + " Either the handler does not catch up, or the state does not show it")
      return nil
    }
    note(.catchesUp, .passed, "a change shows after the next entry")
    return reference
  }

  private func stateAfterOneChange() throws -> State {
    let trial = try trial()
    trial.subject.publish(0)
    try trial.runOnce()
    return try trial.state()
  }

  /// Whether it may run more often than anything changed.
  mutating func checkIdempotence() throws -> Bool {
    let trial = try trial()
    trial.subject.publish(0)
    try trial.runOnce()
    let once = try trial.state()
    for _ in 0..<3 { try trial.runOnce() }
    let often = try trial.state()
    if once == often {
      note(.idempotent, .passed, "three more runs with nothing new changed nothing")
      return true
    }
    note(
      .idempotent, .failed,
      "three more runs with nothing new took the state from \(show(once)) to \(show(often))."
        + " Reconstruct the state from what is published, rather than adding to it per run")
    return false
  }

  /// Whether a run before anything was published leaves a trace after the next change.
  mutating func checkUnsentRun(_ reference: State) throws {
    let trial = try trial()
    try trial.runOnce()
    trial.subject.publish(0)
    try trial.runOnce()
    let state = try trial.state()
    if state == reference {
      note(.harmlessUnsent, .passed, "a run on a fresh CPU left no trace after the next change")
      return
    }
    note(
      .harmlessUnsent, .failed,
      "a run before the first change leads to \(show(state)) after it, in place of"
        + " \(show(reference)). A bit may be left from whoever had the CPU before: remember nothing"
        + " of a run that found nothing")
  }

  /// Whether one run makes up for many changes.
  mutating func checkCoalescing() throws {
    let changes = options.rounds
    let each = try trial()
    for step in 0..<changes {
      each.subject.publish(step)
      try each.runOnce()
    }
    let together = try trial()
    for step in 0..<changes { together.subject.publish(step) }
    try together.runOnce()
    let (many, one) = (try each.state(), try together.state())
    if many == one {
      note(.coalescing, .passed, "one run caught up with \(changes) changes")
      return
    }
    note(
      .coalescing, .failed,
      "\(changes) changes and one run lead to \(show(one)), a run after each to \(show(many))."
        + " Sends are coalesced: a run has to catch up with everything, not with one change")
  }
}

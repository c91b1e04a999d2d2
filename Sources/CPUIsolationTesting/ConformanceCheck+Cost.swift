// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What a run costs the CPU that it runs for.
extension ConformanceCheck {
  /// How often a machine that is busy with other things gets another chance to show a short run.
  private static var attempts: Int { 3 }
  /// How often it gets one to show runs without page faults: while a process forks, or the system takes
  /// pages back, most have some.
  private static var clearAttempts: Int { 20 }

  mutating func checkCosts() throws {
    var runs = try measureRuns()
    for _ in 1..<Self.attempts
    where runs.contains(where: { $0.processorTime > options.processorTime }) {
      runs = try measureRuns()
    }
    noteBound(runs)
    for _ in 1..<Self.clearAttempts where areHidden(runs) { runs += try measureRuns() }
    try noteWaits(runs)
    try noteAllocations(runs)
  }

  /// What the thread did in each of some runs that had something to catch up with.
  private func measureRuns() throws -> [RunWitness] {
    let trial = try trial()
    var runs: [RunWitness] = []
    for step in 0..<options.rounds + Self.warmUps {
      trial.subject.publish(step)
      let run = try trial.runOnce()
      if step >= Self.warmUps { runs.append(run) }
      try trial.settle()
    }
    return runs
  }

  /// Whether too few runs show if they waited.
  private func areHidden(_ runs: [RunWitness]) -> Bool {
    runs.count(where: \.isClear) * 4 < options.rounds
  }

  /// Runs that may initialise what is lazy.
  private static var warmUps: Int { 2 }

  private mutating func noteBound(_ runs: [RunWitness]) {
    let longest = runs.map(\.processorTime).max() ?? .zero
    if longest <= options.processorTime {
      return note(.bounded, .passed, "\(runs.count) runs took at most \(longest) of a processor")
    }
    note(
      .bounded, .failed,
      "a run took \(longest) of a processor, over the limit of \(options.processorTime), each time."
        + " Do a part and send the work again, or raise the limit")
  }

  private mutating func noteWaits(_ runs: [RunWitness]) throws {
    let observer = try trial()
    let isVisible = Lock(false)
    try observer.step("of the check itself") { _ in
      let sees = RunWitness.seesWaits()
      isVisible.withLock { $0 = sees }
    }
    guard isVisible.withLock({ $0 }) else {
      return note(
        .nonBlocking, .notChecked, "this system does not count a thread's voluntary switches")
    }
    if areHidden(runs) {
      return note(
        .nonBlocking, .notChecked,
        "almost all of \(runs.count) runs had page faults, which may wait like a handler")
    }
    // One such switch may be the system's own doing, whatever it was.
    let waiting = runs.count(where: { $0.unexplainedWaits > 0 })
    if waiting * 4 >= runs.count(where: \.isClear) {
      return note(
        .nonBlocking, .failed,
        "in \(waiting) of \(runs.count) runs the thread gave its processor away to wait:"
          + " a sleep, a lock that others held, or input and output. A handler must"
          + " not wait: the CPU waits with it"
      )
    }
    let trial = try trial()
    guard let whilePublishing = trial.subject.whilePublishing else {
      return note(
        .nonBlocking, .passed, "\(runs.count) runs did not wait; locks were not contended")
    }
    trial.subject.publish(0)
    if try trial.runInsideChange(whilePublishing) {
      return note(
        .nonBlocking, .passed, "\(runs.count) runs, and one in the middle of a change, did not wait"
      )
    }
    note(
      .nonBlocking, .failed,
      "a run in the middle of a change returned only when the change was over: it waits for"
        + " what the publisher holds. Read what is published without a lock, or try the lock and"
        + " send the work again")
  }

  private mutating func noteAllocations(_ runs: [RunWitness]) throws {
    guard options.claimsNoAllocation else {
      return note(.nonAllocating, .notChecked, "the handler does not claim it")
    }
    let sight = try sightOfAllocations()
    guard sight.seesSwift else {
      return note(.nonAllocating, .notChecked, RunWitness.whyNoAllocations)
    }
    // Counted anew: the runs so far may have been made before the counters were in place.
    let runs = try measureRuns()
    let control = try ConformanceTrial<Int>(options) { coordinator in
      HandlerSubject(
        try coordinator.register("nothing") { _ in }, publish: { _ in }, state: { $0 })
    }
    try control.runOnce()
    let own = try control.runOnce().allocations
    guard own == 0 else {
      return note(.nonAllocating, .notChecked, "an empty handler allocates \(own) times here")
    }
    let allocating = runs.filter { $0.allocations > 0 }
    guard let first = allocating.first else {
      let rest =
        sight.seesC ? "" : "; direct calls of malloc are not seen, this executable has its own"
      return note(.nonAllocating, .passed, "\(runs.count) runs allocated nothing\(rest)")
    }
    let calls = allocating.reduce(0) { $0 + $1.allocations }
    note(
      .nonAllocating, .failed,
      "\(allocating.count) of \(runs.count) runs allocated, \(calls) times in all, the first"
        + " \(first.firstBytes) bytes. Reserve what is needed when the type is registered; without"
        + " optimization some closures and boxes are allocated that an optimized build has not"
    )
  }

  /// Which allocations on a CPU's thread are seen.
  private func sightOfAllocations() throws -> RunWitness.Sight {
    let observer = try trial()
    let sight = Lock(RunWitness.Sight(seesSwift: false, seesC: false))
    try observer.step("of the check itself") { _ in
      let seen = RunWitness.sightOfAllocations()
      sight.withLock { $0 = seen }
    }
    return sight.withLock { $0 }
  }
}

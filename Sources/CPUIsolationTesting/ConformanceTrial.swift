// SPDX-License-Identifier: Apache-2.0

internal import CHandlerWitness
internal import CPUIsolation
internal import CPlatform

/// A step of a trial that did not return in time.
struct Hang: Error {
  /// What the step was.
  let step: String
  let reason: Reason

  enum Reason {
    /// The thread had given its processor away to wait.
    case waits
    case isBusy
    /// It got no processor, so that nobody knows.
    case isStarved
  }
}

/// One schedule, played on a machine and a subject of its own.
struct ConformanceTrial<State: Equatable & Sendable> {
  let machine: ScriptedMachine
  let subject: HandlerSubject<State>
  private let options: HandlerConformance.Options

  /// The CPU that the schedules are about, and another one like it.
  static var cpu: Int { 1 }
  static var neighbour: Int { 2 }

  /// `before` and `after` register what is to stand before and after the subject.
  init(
    _ options: HandlerConformance.Options,
    _ makeSubject: (Coordinator) throws -> HandlerSubject<State>,
    before: (Coordinator) throws -> Void = { _ in }
  ) throws {
    machine = try ScriptedMachine(housekeeping: [0], isolated: [Self.cpu, Self.neighbour])
    try before(machine.coordinator)
    subject = try makeSubject(machine.coordinator)
    self.options = options
  }

  // MARK: Steps

  /// Makes a CPU do something, and tells what its thread did meanwhile.
  @discardableResult
  func step(
    _ what: String, on cpu: Int = cpu, within limit: Duration? = nil,
    _ body: @escaping @Sendable (CPUHandle) -> Void
  ) throws(Hang) -> RunWitness {
    let seen = Lock<RunWitness?>(nil)
    machine[cpu].begin { handle in
      let witness = RunWitness.watch { body(handle) }
      seen.withLock { $0 = witness }
    }
    if let reason = hang(of: machine[cpu], after: limit ?? options.deadline) {
      machine.abandon()
      throw Hang(step: what, reason: reason)
    }
    return seen.withLock { $0! }
  }

  /// Why a step has not returned in time; nil if it has, or did while that was looked into.
  ///
  /// A thread that gets no processor shows nothing yet. One that waits is asleep, or falls asleep
  /// again; one that is busy uses processor time without sleeping.
  private func hang(of cpu: ScriptedCPU, after limit: Duration) -> Hang.Reason? {
    if cpu.finish(within: limit) { return nil }
    let first = chw_progress_of(cpu.threadID)
    var last = first
    let end = ContinuousClock.now + options.deadline
    repeat {
      if cpu.finish(within: .milliseconds(1)) { return nil }
      last = chw_progress_of(cpu.threadID)
      if last.state == CChar(UInt8(ascii: "S")) || last.waits > first.waits {
        return cpu.isStepping ? .waits : nil
      }
      if last.processor_nanoseconds &- first.processor_nanoseconds > 20_000_000 {
        return cpu.isStepping ? .isBusy : nil
      }
    } while ContinuousClock.now < end
    return last.state == CChar(UInt8(ascii: "R")) ? .isStarved : .waits
  }

  func enterUser(_ cpu: Int = cpu) throws(Hang) {
    try step("at the exit", on: cpu) { $0.enterUser() }
  }

  @discardableResult
  func enterKernel(_ cpu: Int = cpu) throws(Hang) -> RunWitness {
    try step("at the entry", on: cpu) { $0.enterKernel() }
  }

  func send(_ types: [WorkType], to cpu: Int = cpu, urgency: WorkType.Urgency = .deferrable) {
    for type in types { machine.coordinator.send(type, to: cpu, urgency: urgency) }
  }

  /// Away, sent, back: the plain case.
  @discardableResult
  func runOnce(_ cpu: Int = cpu) throws(Hang) -> RunWitness {
    try enterUser(cpu)
    send(subject.types, to: cpu)
    return try enterKernel(cpu)
  }

  /// Away, sent, and back in the middle of a change; false if the handler waited for its end.
  func runInsideChange(_ whilePublishing: (() -> Void) -> Void) throws(Hang) -> Bool {
    try enterUser()
    send(subject.types)
    let (target, deadline) = (machine[Self.cpu], options.deadline)
    var reason: Hang.Reason? = nil
    whilePublishing {
      target.begin { $0.enterKernel() }
      reason = hang(of: target, after: deadline)
    }
    guard let first = reason else { return true }
    // What the publisher held is free now. A handler that is still in there never comes back.
    let last = hang(of: target, after: deadline)
    if first == .isStarved || last != nil {
      machine.abandon()
      throw Hang(step: "at an entry in the middle of a change", reason: last ?? first)
    }
    return false
  }

  /// Lets work that handlers have sent run until there is none; false if there always is.
  @discardableResult
  func settle(_ cpu: Int = cpu) throws(Hang) -> Bool {
    let types = subject.types
    let coordinator = machine.coordinator
    let limit = options.settlingDrains
    let isQuiet = Lock(false)
    try step("at a safe point", on: cpu) { handle in
      for _ in 0..<limit {
        let statistics = coordinator.statistics()
        if types.allSatisfy({ statistics[$0, on: cpu].pending == 0 }) {
          return isQuiet.withLock { $0 = true }
        }
        handle.safePoint()
      }
    }
    return isQuiet.withLock { $0 }
  }

  /// What the handler maintains for a CPU, once everything has run.
  func state(_ cpu: Int = cpu) throws(Hang) -> State {
    try settle(cpu)
    let state = Lock<State?>(nil)
    let read = subject.state
    try step("while the state was read", on: cpu) { handle in
      let value = read(handle.number)
      state.withLock { $0 = value }
    }
    return state.withLock { $0! }
  }
}

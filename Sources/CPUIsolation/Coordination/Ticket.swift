// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Proof of a send, to ask later whether it has taken effect: for coalesced work too, without a
/// queue entry.
///
///     let ticket = coordinator.sendWithTicket(flush, to: coordinator.cpus)
///     switch ticket.wait(until: .covered, timeout: .milliseconds(10)) {
///     case .settled: reuse(pages)
///     case .timedOut(let stragglers): …
///     }
///
/// A count of drains would not do: one more drain may be one that began before the send, and two
/// more may never come. A ticket draws a generation of its type before it sets the bit; whoever
/// runs the type loads the generation after it has taken the bit, and publishes it after the run.
///
/// A send that was rejected has told nobody, so that there is nobody to wait for. Whoever frees or
/// reuses something looks at `report.rejection` first.
///
/// - Progress: wait-free to poll
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public struct Ticket: Sendable {
  /// What became of the send itself.
  public let report: SendReport

  private let coordinator: Coordinator
  private let type: UInt64
  private let generation: UInt64

  init(_ coordinator: Coordinator, _ type: UInt64, _ generation: UInt64, _ report: SendReport) {
    self.coordinator = coordinator
    self.type = type
    self.generation = generation
    self.report = report
  }

  /// What a ticket knows of one CPU.
  public enum State: Hashable, Sendable {
    /// The handler has run for this send.
    case executed
    /// The handler has not run, and the CPU is outside kernel: it cannot observe anything older
    /// before it runs.
    case covered
    /// The CPU's thread has gone. That may be said of a send which had run as well, once another
    /// thread has attached.
    case gone
    /// None of these yet.
    case pending
  }

  /// What a wait is for.
  public enum Goal: Hashable, Sendable {
    /// The handler has run. It may never come for a CPU that stays in user.
    case executed
    /// The CPU cannot observe anything older: the handler has run, or will run before the CPU's
    /// next look.
    case covered
  }

  /// How a wait ended.
  public enum WaitOutcome: Hashable, Sendable {
    /// Every CPU that the send covered has reached the goal, or is gone.
    case settled
    /// The deadline came before these CPUs had.
    case timedOut(CPUMask)
  }

  /// What has become of the send on one CPU. A CPU that the send skipped or did not address is
  /// `gone`.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func state(of cpu: Int) -> State {
    guard report.covered.contains(cpu) else { return .gone }
    return Self.state(coordinator.core, type, generation, of: cpu)
  }

  static func state(
    _ core: CoordinatorCore, _ type: UInt64, _ generation: UInt64, of cpu: Int
  ) -> State {
    let slot = core.slots[cpu]
    let index = Int(type)
    // Acquire — ticket:A. If it covers our generation, we see what the handler did. Pairs with
    // drain:A and attach:A.
    if slot.applied[index].load(ordering: .acquiring) >= generation {
      return slot.attachGeneration[index].load(ordering: .relaxed) >= generation
        ? .gone : .executed
    }
    // Sequentially consistent — ticket:W. Behind the OR of our send: if it says user, the owner's
    // next entry comes after that OR, and takes the bit. The waiter repeats the look; looking once
    // would not close the window in which the owner has looked at K for the last time and not yet
    // published user.
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    switch ContextWord(rawValue: word).context {
    case .kernel?, nil: return .pending
    case .offline?:
      // Acquire — detach:R. A thread on its way out may go back in for our bit, and one on its way
      // in has not said where it stands: the word decides once they are through. If they are, we
      // see what they did. Pairs with detach:R.
      if slot.state.isOwned.load(ordering: .acquiring) != 0 { return .pending }
      // Acquire — ticket:A. It may have run the work on its way out; or another thread has attached
      // since, which counts as having seen everything. Pairs with drain:A and attach:A.
      let applied = slot.applied[index].load(ordering: .acquiring)
      let atAttach = slot.attachGeneration[index].load(ordering: .relaxed)
      return applied >= generation && atAttach < generation ? .executed : .gone
    default: return .covered
    }
  }

  /// The CPUs that have not reached the goal.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never for CPUs below 128
  public func unsettled(_ goal: Goal) -> CPUMask {
    var left = CPUMask()
    for cpu in report.covered {
      switch state(of: cpu) {
      case .executed, .gone: break
      case .covered: if goal == .executed { left.insert(cpu) }
      case .pending: left.insert(cpu)
      }
    }
    return left
  }

  /// Waits until every CPU has reached the goal, or the deadline comes.
  ///
  /// A caller that is a CPU serves its own work meanwhile, so two CPUs may wait for each other.
  /// Inside a handler waiting ends the process with a sentence.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: never for CPUs below 128
  public func wait(until goal: Goal, timeout: Duration? = nil) -> WaitOutcome {
    coordinator.requireMayWait("wait for a ticket")
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    while true {
      let left = unsettled(goal)
      if left.isEmpty { return .settled }
      if until.hasPassed || coordinator.isClosed || coordinator.isForked { return .timedOut(left) }
      Coordinator.serveOwnCPU()
      backoff.wait()
    }
  }

  /// Suspends the task until every CPU has reached the goal, or the deadline comes.
  ///
  /// - Throws: `CancellationError`.
  /// - Progress: suspends
  /// - Context: any task
  /// - Allocates: as `Task.sleep`
  public func wait(until goal: Goal, timeout: Duration? = nil) async throws -> WaitOutcome {
    let until = Deadline(after: timeout)
    var pause = SleepLadder()
    while true {
      let left = unsettled(goal)
      if left.isEmpty { return .settled }
      if until.hasPassed || coordinator.isClosed || coordinator.isForked { return .timedOut(left) }
      try await pause.sleep()
    }
  }
}

extension Coordinator {
  /// Sends work to every CPU of a mask, and gives a ticket to ask when it has taken effect.
  ///
  ///     let ticket = coordinator.sendWithTicket(flush, to: [2, 3])
  ///     try await ticket.wait(until: .executed, timeout: .seconds(1))
  ///
  /// It costs one addition to a word that all ticketed senders of the type share; sends without
  /// ticket pay nothing. A payload is for a type whose delivery is `.merging`; with another it ends
  /// the process with a sentence. Not while another thread unregisters the type: a ticket drawn behind
  /// its last look may stay pending, so that such a wait needs a deadline.
  ///
  /// - Progress: wait-free for `.deferrable`; with a payload lock-free
  /// - Context: any thread
  /// - Allocates: never for CPUs below 128
  public func sendWithTicket(
    _ work: WorkType, payload: WorkType.Payload = .everything, to mask: CPUMask,
    urgency: Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true }
  ) -> Ticket {
    let path = self.path
    let site = CallSite(file, line)
    if payload != .everything { path.requireMerging(work) }
    if let rejection = path.rejection(of: work) {
      var report = SendReport()
      report.rejection = rejection
      return Ticket(self, work.type, 0, report)
    }
    switch work.form {
    case .bit:
      let generation = core.drawGeneration(of: work.type)
      let report = path.send(work, to: mask, urgency: urgency, from: site, where: predicate)
      return Ticket(self, work.type, generation, report)
    case .catchUp:
      let generation = path.announce(work.type)
      let report = path.catchUp(
        work, to: mask, SendReport(), generation, urgency: urgency, from: site, asks: true,
        where: predicate)
      return Ticket(self, work.type, generation, report)
    case .maximum, .union, .hull:
      let (generation, report) = path.sendWithTicket(
        work, payload.rawValue, to: mask, urgency, from: site, where: predicate)
      return Ticket(self, work.type, generation, report)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Proof of a send, to ask later whether it has taken effect: for coalesced work too, without a
/// queue entry.
///
///     let ticket = coordinator.sendWithTicket(flush, to: coordinator.cpus)
///     switch ticket.wait(until: .covered, timeout: .milliseconds(10)) {
///     case .settled: reuse(pages)
///     case .timedOut(let stragglers): …
///     case .closed, .forked: return
///     }
///
/// A count of drains would not do: one more drain may be one that began before the send, and two
/// more may never come. A ticket draws a generation of its type before it sets the bit; whoever
/// runs the type loads the generation after it has taken the bit, and publishes it after the run.
///
/// A send that was rejected has told nobody, so that there is nobody to wait for. Whoever frees or
/// reuses something looks at `report.refusal` first.
///
/// - Progress: wait-free to poll
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public struct Ticket: Sendable {
  /// What became of the send itself.
  public var report: Report<SendOutcome> { sent }
  @usableFromInline var sent: Report<SendOutcome>

  @usableFromInline let coordinator: Coordinator
  @usableFromInline let type: UInt64
  @usableFromInline var generation: UInt64

  /// A ticket of nothing, for a send to fill in.
  @inlinable @inline(__always)
  init(_ coordinator: Coordinator, _ type: UInt64) {
    self.coordinator = coordinator
    self.type = type
    generation = 0
    sent = Report()
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

  /// What has become of the send on one CPU. A CPU that the send skipped or did not address is
  /// `gone`.
  ///
  /// - Parameter cpu: any number.
  /// - Returns: what is known now; it may be out of date when the caller looks at it.
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
    // Sequentially consistent — ticket:W. After the OR of our send: if it says user, the owner's
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
  /// - Parameter goal: `.executed`, or `.covered`, which a CPU outside kernel has reached already.
  /// - Returns: those CPUs; empty when the goal has been reached.
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

  /// Waits until every CPU has reached the goal, or the time is over.
  ///
  /// A caller that is a CPU serves its own work meanwhile, so two CPUs may wait for each other.
  /// Inside a handler waiting ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - goal: `.covered`, which is enough before memory is reused, or `.executed`, which may never
  ///     come for a CPU that stays in user.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: never for CPUs below 128
  public func wait(
    until goal: Goal, timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    coordinator.requireMayWait("wait for a ticket", file, line)
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    while true {
      let left = unsettled(goal)
      if left.isEmpty { return .settled }
      if let end = coordinator.endOfWait(until, left) { return end }
      CurrentThread.serveOwnCPU()
      backoff.wait()
    }
  }

  /// Suspends the task until every CPU has reached the goal, or the time is over.
  ///
  /// - Parameters:
  ///   - goal: `.covered`, which is enough before memory is reused, or `.executed`, which may never
  ///     come for a CPU that stays in user.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
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
      if let end = coordinator.endOfWait(until, left) { return end }
      try await pause.sleep()
    }
  }
}

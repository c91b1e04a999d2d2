// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Coordinator {
  /// A grace period that has begun: it is over when every CPU has left each section that it was in
  /// when this began.
  ///
  ///     table.unlink(node)
  ///     var gracePeriod = coordinator.startGracePeriod()
  ///     …
  ///     if gracePeriod.poll() { node.free() }  // nobody can be looking at the node any more
  ///
  /// A CPU in user, idle, guest or offline has passed already: it holds nothing. A CPU in kernel
  /// passes when it leaves, or declares a quiescent state. An isolated CPU in user is never waited
  /// for and never disturbed.
  ///
  /// Not for memory that a CPU may still reach from user: there is none, that is what user promises.
  ///
  /// - Progress: wait-free to poll
  /// - Context: any thread
  /// - Allocates: one word per CPU that is in kernel when it begins
  public struct GracePeriod: Sendable {
    /// Nil where every CPU had passed at the first look: nothing is left to ask, and nothing is kept.
    private var waiting: Waiting? = nil

    /// What is kept while CPUs have to be waited for.
    private struct Waiting: Sendable {
      let coordinator: Coordinator
      var wait: GracePeriodWait
      /// What its end is recorded with; nil if that is not recorded.
      var record: Record?
    }

    /// A grace period in the trace: its number, and the CPUs that had to be waited for when it began.
    private final class Record: Sendable {
      let sequence: UInt64
      let waitedFor: CPUMask

      init(_ sequence: UInt64, _ waitedFor: CPUMask) {
        self.sequence = sequence
        self.waitedFor = waitedFor
      }
    }

    @inline(__always)
    init(_ coordinator: Coordinator, excluding own: Int?) {
      let core = coordinator.core
      let first = GracePeriodWait.begin(core.slots, excluding: own)
      if first != core.slots.count || core.isTraced(.gracePeriod) {
        keep(coordinator, first, excluding: own)
      }
    }

    /// Begins to wait, and records that, if grace periods are recorded.
    @inline(never)
    private mutating func keep(_ coordinator: Coordinator, _ first: Int, excluding own: Int?) {
      let core = coordinator.core
      let wait = GracePeriodWait(core.slots, from: first, excluding: own)
      waiting = Waiting(coordinator: coordinator, wait: wait, record: nil)
      guard core.isTraced(.gracePeriod) else { return }
      let record = Record(coordinator.traceMemory.nextGracePeriod(), wait.cpus)
      waiting?.record = record
      core.traceGracePeriod(record.sequence, stage: "start", record.waitedFor)
      _ = poll()
    }

    /// Whether it is over.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public mutating func poll() -> Bool {
      guard let core = waiting?.coordinator.core else { return true }
      guard waiting?.wait.poll(core.slots) ?? true else { return false }
      if let record = waiting?.record {
        core.traceGracePeriod(record.sequence, stage: "end", record.waitedFor)
        waiting?.record = nil
      }
      return true
    }

    /// The CPUs that had not passed at the last look.
    public var stragglers: CPUMask { waiting?.wait.cpus ?? CPUMask() }

    /// Suspends the task until it is over, the time is, or the coordinator is closed; tells which.
    ///
    ///     guard try await gracePeriod.wait(timeout: .seconds(1)) == .settled else { … }
    ///
    /// The task looks again now and then, at growing distances up to 1 ms: nobody wakes it, so that
    /// no CPU pays for it.
    ///
    /// - Parameter timeout: how long to wait at most; nil waits for ever, and zero looks once.
    /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
    /// - Throws: `CancellationError`.
    /// - Progress: suspends
    /// - Context: any task
    /// - Allocates: as `Task.sleep`
    public mutating func wait(timeout: Duration? = nil) async throws -> WaitOutcome {
      let until = Deadline(after: timeout)
      var pause = SleepLadder()
      while !poll() {
        if let end = waiting?.coordinator.endOfWait(until, stragglers) { return end }
        try await pause.sleep()
      }
      return .settled
    }
  }
}

extension Coordinator {
  /// Begins a grace period.
  ///
  /// The calling thread's own CPU is not waited for: outside its sections it holds nothing while it
  /// asks.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what to poll or to wait for.
  /// - Progress: wait-free
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: one word per CPU that is in kernel
  public func startGracePeriod(
    file: StaticString = #fileID, line: UInt = #line
  ) -> GracePeriod {
    let action = "begin a grace period"
    requireMayWait(action, file, line)
    return GracePeriod(self, excluding: ownQuiescentCPU(action, file, line))
  }

  /// Waits for a grace period: when it answers `.settled`, every section that was going on has ended.
  ///
  ///     table.unlink(node)
  ///     guard coordinator.synchronize(timeout: .seconds(1)) == .settled else { … }
  ///     node.free()
  ///
  /// Isolated CPUs in user are not waited for. A caller that is a housekeeping CPU serves its own
  /// work meanwhile, and counts as quiescent. Inside a kernel section the caller would wait for
  /// itself: that ends the process with a sentence.
  ///
  /// The answer has to be looked at: after any other one a section may still be going on.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled`; else why not, and the CPUs whose sections may still be going on.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: one word per CPU that is in kernel
  public func synchronize(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    requireMayWait("synchronize", file, line)
    if isForked { return .forked }
    return waitForGracePeriod(Deadline(after: timeout), "synchronize", file, line)
  }

  func waitForGracePeriod(
    _ until: Deadline, _ action: String, _ file: StaticString, _ line: UInt
  ) -> WaitOutcome {
    let own = ownQuiescentCPU(action, file, line)
    var gracePeriod = GracePeriod(self, excluding: own)
    var backoff = Backoff()
    while !gracePeriod.poll() {
      if let end = endOfWait(until, gracePeriod.stragglers) { return end }
      // Two CPUs that wait for each other pass by declaring that they hold nothing.
      if own != nil, let slot = ownSlot {
        OwnerTransitions.quiescent(slot)
      } else {
        CurrentThread.serveOwnCPU()
      }
      backoff.wait()
    }
    return .settled
  }

  /// The caller's own CPU where it is in kernel outside every section; traps inside one.
  @inline(__always)
  private func ownQuiescentCPU(
    _ action: String, _ file: StaticString, _ line: UInt
  ) -> Int? {
    guard let slot = ownSlot,
      ContextTracker(slot).ownContext == UInt64(CPUContext.kernel.rawValue)
    else { return nil }
    let number = OwnerTransitions.number(slot)
    let depth = slot.owner.special.load(ordering: .relaxed) & OwnerFlags.depthMask
    if depth != 0 || ContextTracker(slot).isInSection || configuration.isolated.contains(number) {
      misuse(
        "CPU \(number) cannot \(action) inside a kernel section: it would wait for itself", file,
        line)
    }
    return number
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension Coordinator {
  /// Whether `close` has been called.
  public var isClosed: Bool { core.line.closed.load(ordering: .relaxed) != 0 }

  /// Ends the coordinator's work: nothing can be sent, called or attached any more, and waiters are
  /// let go.
  ///
  ///     stop.store(true, ordering: .relaxed)
  ///     if case .timedOut(let cpus) = coordinator.close(timeout: .seconds(2)) {
  ///       print("CPUs \(cpus) have not left; pending:", coordinator.pendingWork)
  ///     }
  ///
  /// Sends are `rejected(.closed)`. Then the threads are waited for: each runs what is pending on
  /// its way out. CPUs that sleep are woken, once, so that their loops can see that they should
  /// end. The answer is `.settled` when every thread has left, and else names the CPUs whose threads
  /// have not. Closing twice waits again. When the last thread has left, the handlers and what they
  /// capture are freed, and the watchdog ends. In the child of a fork, which has none of the threads, the
  /// answer is `forked` at once.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when every thread has left; else the CPUs whose threads have not.
  /// - Progress: blocking
  /// - Context: any thread that is no CPU of this coordinator, outside handlers; a CPU of another one serves
  ///   its own work meanwhile
  /// - Allocates: yes
  @discardableResult
  public func close(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    if let own = ownSlot {
      misuse(
        "CPU \(OwnerTransitions.number(own)) cannot close its own coordinator: it would wait for itself",
        file, line)
    }
    requireMayWait("close a coordinator", file, line)
    let until = Deadline(after: timeout)
    registry.withLock { state in
      state.isClosed = true
      // Relaxed: whoever looks too early is let go by the next look.
      core.line.closed.store(1, ordering: .relaxed)
      for index in state.registrations.indices {
        core.records[UInt64(index)].registration.store(0, ordering: .relaxed)
      }
    }
    // A token for each, asleep or about to be: who has looked at `isClosed` and goes to sleep now,
    // does not.
    for cpu in cpus { core.slots[cpu].call.parker.unpark() }
    if isForked { return .forked }
    var backoff = Backoff()
    while !attached.isEmpty {
      CurrentThread.serveOwnCPU()
      if until.hasPassed { return .timedOut(attached) }
      backoff.wait()
    }
    endIfClosed()
    return .settled
  }

  /// Once the coordinator is closed and its last thread has gone: lets go of the handlers and what they
  /// capture, the coordinator perhaps, and ends the watchdog.
  func endIfClosed() {
    if !isClosed || isForked { return }
    let boxes = registry.withLock { state -> [any Sendable] in
      // Acquire — detach:R. No thread attaches any more, under this lock: a slot without one stays so,
      // and no handler runs there again. What the last run did comes before its closure ends.
      let isOver = cpus.allSatisfy { core.slots[$0].state.isOwned.load(ordering: .acquiring) == 0 }
      guard isOver else { return [] }
      return state.registrations.indices.compactMap { index in
        defer { state.registrations[index]?.box = nil }
        return state.registrations[index]?.box
      }
    }
    if attached.isEmpty { watchdog?.retire() }
    withExtendedLifetime(boxes) {}
  }

  /// Per work type that is pending on CPUs with a thread, its name and those CPUs: the runs come when
  /// they enter kernel, or leave.
  ///
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public var pendingWork: [String: CPUMask] {
    registry.withLock { state in
      var pending: [String: CPUMask] = [:]
      for (index, registration) in state.registrations.enumerated() {
        guard let registration else { continue }
        let type: UInt64 = 1 << UInt64(index)
        let waiting = CPUMask(
          attached.filter {
            // What a CPU outside kernel has not caught up with is as pending as a bit.
            core.slots[$0].state.work.load(ordering: .relaxed) & type != 0
              || context(of: $0).acceptsDeferral
                && Drain(core, core.slots[$0]).lagging(among: type) != 0
          })
        if !waiting.isEmpty { pending[registration.name] = waiting }
      }
      return pending
    }
  }

  /// The CPUs that have a thread.
  public var attached: CPUMask {
    CPUMask(
      cpus.filter {
        // Relaxed — a hint.
        core.slots[$0].state.isOwned.load(ordering: .relaxed) != 0
      })
  }
}

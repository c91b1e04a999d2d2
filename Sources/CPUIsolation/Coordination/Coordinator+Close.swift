// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// How a coordinator was closed.
///
///     let report = coordinator.close(timeout: .seconds(2))
///     if !report.stillAttached.isEmpty { print("stuck:", report.stillAttached) }
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: as `CPUMask`
public struct CloseReport: Hashable, Sendable {
  /// The CPUs whose threads had not left when the deadline came.
  public internal(set) var stillAttached = CPUMask()
  /// Per work type that was still pending, its name and where: those runs come when the CPUs enter
  /// or leave.
  public internal(set) var pending: [String: CPUMask] = [:]
}

extension Coordinator {
  /// Whether `close` has been called.
  public var isClosed: Bool { core.line.closed.load(ordering: .relaxed) != 0 }

  /// Ends the coordinator's work: nothing can be sent, called or attached any more, and waiters are
  /// let go.
  ///
  ///     stop.store(true, ordering: .relaxed)
  ///     let report = coordinator.close(timeout: .seconds(2))
  ///
  /// Sends are `rejected(.closed)`. Then the threads are waited for: each runs what is pending on
  /// its way out. CPUs that sleep are woken, once, so that their loops can see that they should
  /// end. What did not end in time is named. Closing twice reports again.
  ///
  /// - Progress: blocking
  /// - Context: any thread that is no CPU of this coordinator
  /// - Allocates: yes
  @discardableResult
  public func close(timeout: Duration? = nil) -> CloseReport {
    if let own = ownSlot {
      misuse(
        "CPU \(OwnerTransitions.number(own)) cannot close its own coordinator: it would wait for itself"
      )
    }
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
    var backoff = Backoff()
    while !attached.isEmpty, !until.hasPassed { backoff.wait() }
    var report = CloseReport()
    report.stillAttached = attached
    registry.withLock { state in
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
        if !waiting.isEmpty { report.pending[registration.name] = waiting }
      }
    }
    return report
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

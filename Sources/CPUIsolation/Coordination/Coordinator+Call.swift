// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Coordinator {
  /// Runs a closure on every CPU of a mask at once, and waits until it has returned everywhere.
  ///
  ///     let report = coordinator.call(on: coordinator.cpus, timeout: .milliseconds(10)) { cpu in flush(cpu) }
  ///
  /// Each target is kicked in its own way: a sleeping housekeeper is woken, a polling loop runs the
  /// call at its next `poll()`, and a CPU whose interrupter is the signal runs it in its handler if
  /// `isInterruptSafe`, else at its next safe point. The calling CPU itself runs it inline. A
  /// caller that is a CPU serves its own calls while it waits.
  ///
  /// At the deadline, calls that have not begun are taken back. One that has begun is waited for:
  /// it uses the caller's closure.
  ///
  /// Do not use it where the work may wait: `send` disturbs nobody.
  ///
  /// - Parameters:
  ///   - mask: the targets. A member that the coordinator does not have ends the process with a
  ///     sentence.
  ///   - timeout: how long to wait at most for calls that have not begun; nil waits for ever.
  ///   - isInterruptSafe: whether the closure may run in a signal handler: then it allocates
  ///     nothing and takes no lock.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - predicate: asked once for each target, before its call; the targets that it refuses are
  ///     `.skipped`.
  ///   - body: gets the number of the CPU that it runs on, on several threads at once.
  /// - Returns: what became of each call: `.executed`, `.ranInline`, `.timedOut`, `.skipped` or
  ///   `.gone`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: records, the first time that so many calls are under way at once
  @discardableResult
  public func call(
    on mask: CPUMask, timeout: Duration? = nil, isInterruptSafe: Bool = false,
    file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true },
    _ body: @Sendable (Int) -> Void
  ) -> Report<CallOutcome> {
    withoutActuallyEscaping(body) { body in
      // Safety: the pointer is used within the scope, as below.
      unsafe withUnsafePointer(to: body) { pointer in
        // Safety: the closure is there until every call has run or was taken back.
        let handler = unsafe CPUHandler(
          {
            unsafe $0.unsafelyUnwrapped.assumingMemoryBound(to: (@Sendable (Int) -> Void).self)
              .pointee($1)
          }, UnsafeMutableRawPointer(mutating: pointer))
        return callAndWait(
          mask, Deadline(after: timeout), isInterruptSafe, CallSite(file, line), predicate, handler)
      }
    }
  }

  // MARK: -

  private func callAndWait(
    _ mask: CPUMask, _ until: Deadline, _ isInterruptSafe: Bool, _ site: CallSite,
    _ predicate: (Int) -> Bool, _ handler: CPUHandler
  ) -> Report<CallOutcome> {
    requireMayWait("make a waiting call", site.file, site.line)
    if isClosed { return Report(.closed, of: mask) }
    if isForked { return Report(.gone, of: mask) }
    var report = Report<CallOutcome>()
    guard let memory = takeCallMemory() else {
      misuse("cannot map the records of a cross call")
    }
    let queue = CallPath(core, path)
    var waiting = CPUMask()
    let own = ownSlot.map(OwnerTransitions.number)
    for cpu in mask where cpu != own {
      core.requireCPU(cpu, site)
      guard predicate(cpu) else {
        report.record(.skipped, for: cpu)
        continue
      }
      let record = memory.record(cpu)
      _ = CallRecord.claim(record, handler, isWaitedFor: true, site: site)
      _ = queue.enqueue(record, on: cpu, isInterruptSafe: isInterruptSafe, from: site)
      waiting.insert(cpu)
    }
    // As in the kernel, the caller's own turn comes while the others work.
    if let own, mask.contains(own) {
      if predicate(own) {
        runInline(own, handler)
        report.record(.ranInline, for: own)
      } else {
        report.record(.skipped, for: own)
      }
    }
    var backoff = Backoff()
    while true {
      let isOver = until.hasPassed || isClosed
      for cpu in waiting {
        guard let outcome = CallPath.outcome(of: memory.record(cpu), isOver: isOver) else {
          continue
        }
        waiting.remove(cpu)
        report.record(outcome, for: cpu)
      }
      if waiting.isEmpty { break }
      Self.serveOwnCPU()
      backoff.wait()
    }
    giveBack(memory)
    return report
  }

  /// A call of a CPU to itself. Nothing runs while the word says user.
  private func runInline(
    _ cpu: Int, _ handler: CPUHandler
  ) {
    let slot = core.slots[cpu]
    let outside = OwnerTransitions.beginSection(slot)
    handler.run(on: cpu)
    OwnerTransitions.endSection(slot, outside)
  }

  private func takeCallMemory() -> CallMemory? {
    let free = registry.withLock { state -> CallMemory? in
      // A set of records in which a call was cancelled comes back when its target has passed it.
      guard let index = state.freeCallMemory.lastIndex(where: isIdle) else { return nil }
      return state.freeCallMemory.remove(at: index)
    }
    return free ?? (try? CallMemory(cpus: core.slots.count))
  }

  private func isIdle(_ memory: CallMemory) -> Bool {
    (0..<core.slots.count).allSatisfy {
      memory.record($0).value.state.load(ordering: .relaxed) == CallRecord.State.idle
    }
  }

  private func giveBack(_ memory: CallMemory) {
    registry.withLock { $0.freeCallMemory.append(memory) }
  }
}

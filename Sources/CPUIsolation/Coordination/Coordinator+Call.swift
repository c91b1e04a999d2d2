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
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: records, the first time that so many calls are under way at once
  @discardableResult
  public func call(
    on mask: CPUMask, timeout: Duration? = nil, isInterruptSafe: Bool = false,
    file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true },
    _ body: @Sendable (Int) -> Void
  ) -> CallReport {
    withoutActuallyEscaping(body) { body in
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

  /// Puts a call into one CPU's queue and does not wait.
  ///
  ///     if coordinator.post(call, on: 3) == .busy { … }  // the last one has not been taken yet
  ///
  /// - Progress: lock-free while a thread is attached, else it waits for one on its way in or out; a
  ///   kick may make a system call
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func post(
    _ call: borrowing CrossCall, on cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> CallOutcome {
    requireCPU(cpu)
    if isClosed { return .closed }
    if isForked { return .gone }
    let site = CallSite(file, line)
    guard
      CallRecord.claim(
        call.record, call.handler, isWaitedFor: false, site: site)
    else { return .busy }
    return CallPath(core, path).enqueue(
      call.record, on: cpu, isInterruptSafe: call.isInterruptSafe, from: site)
  }

  /// Puts a call into the queue of every CPU of a mask and does not wait; the records are this
  /// sender's, one per target.
  ///
  ///     let report = coordinator.post(on: [2, 3], context: nil, isInterruptSafe: true) { _, cpu in count(cpu) }
  ///
  /// A target that has not taken this sender's last call yet is `busy`, and gets nothing. The
  /// context has to live until the function has run.
  ///
  /// - Progress: lock-free while threads are attached, else it waits for those on their way in or
  ///   out; kicks may make a system call each
  /// - Context: any thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func post(
    on mask: CPUMask, context: UnsafeMutableRawPointer?, isInterruptSafe: Bool = false,
    file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true },
    _ function: CPUFunction
  ) -> CallReport {
    var report = CallReport()
    if isForked {
      report.gone = mask
      return report
    }
    let queue = CallPath(core, path)
    let site = CallSite(file, line)
    // Safety: the caller's to see to.
    let handler = unsafe CPUHandler(function, context)
    for cpu in mask {
      requireCPU(cpu)
      if isClosed {
        report.isClosed = true
        break
      }
      guard predicate(cpu) else {
        report.skipped.insert(cpu)
        continue
      }
      let record = queue.path.sender.record(target: cpu)
      if !CallRecord.claim(record, handler, isWaitedFor: false, site: site) {
        report.busy.insert(cpu)
        continue
      }
      let outcome = queue.enqueue(
        record, on: cpu, isInterruptSafe: isInterruptSafe, from: site)
      report.record(outcome, for: cpu)
    }
    return report
  }

  // MARK: -

  private func callAndWait(
    _ mask: CPUMask, _ until: Deadline, _ isInterruptSafe: Bool, _ site: CallSite,
    _ predicate: (Int) -> Bool, _ handler: CPUHandler
  ) -> CallReport {
    requireMayWait("make a waiting call")
    var report = CallReport()
    if isClosed {
      report.isClosed = true
      return report
    }
    if isForked {
      report.gone = mask
      return report
    }
    guard let memory = takeCallMemory() else {
      misuse("cannot map the records of a cross call")
    }
    let queue = CallPath(core, path)
    var waiting = CPUMask()
    let own = ownSlot.map(OwnerTransitions.number)
    for cpu in mask where cpu != own {
      requireCPU(cpu)
      guard predicate(cpu) else {
        report.skipped.insert(cpu)
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
        report.ranInline.insert(own)
      } else {
        report.skipped.insert(own)
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

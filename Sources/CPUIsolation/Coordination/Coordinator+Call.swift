// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
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
  /// it uses the caller's closure. A CPU that does not look keeps the records of a few calls that were
  /// given up; further calls wait for one of these, so that they are not more and more. A call whose
  /// function ends its thread is `gone`.
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
      unsafe withUnsafePointer(to: CallBody(run: body)) { pointer in
        // Safety: the closure is there until every call has run or was taken back.
        let handler = unsafe CPUHandler(
          { unsafe CallBody.run($0.unsafelyUnwrapped, on: $1) },
          UnsafeMutableRawPointer(mutating: pointer))
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
    guard let memory = takeCallMemory(for: mask) else {
      misuse("cannot map the records of a cross call")
    }
    var call = WaitedCall(
      self, memory, handler, until, isInterruptSafe: isInterruptSafe, from: site)
    for cpu in mask {
      core.requireCPU(cpu, site)
      call.address(cpu, isSkipped: !predicate(cpu))
    }
    call.run()
    return call.report
  }

  /// How many sets of records that are not whole are kept, besides those in use.
  private static let givenUpLimit = 8

  /// A set whose records for these CPUs are free. Those of calls that were given up are in the queues of
  /// their CPUs until these look: where there are many such sets, one of them has to do, and the call
  /// waits for its record.
  private func takeCallMemory(for mask: CPUMask) -> CallMemory? {
    let free = registry.withLock { state -> CallMemory? in
      if let index = state.freeCallMemory.lastIndex(where: { isIdle($0, for: mask) }) {
        return state.freeCallMemory.remove(at: index)
      }
      let isFull = state.freeCallMemory.count >= Self.givenUpLimit
      return isFull ? state.freeCallMemory.removeFirst() : nil
    }
    return free ?? (try? CallMemory(cpus: core.slots.count))
  }

  private func isIdle(_ memory: CallMemory, for mask: CPUMask) -> Bool {
    mask.allSatisfy {
      $0 >= core.slots.count
        || memory.record($0).value.state.load(ordering: .relaxed) == CallRecord.State.idle
    }
  }

  func giveBack(_ memory: CallMemory) {
    registry.withLock { $0.freeCallMemory.append(memory) }
  }
}

/// The closure of a call, in its caller's frame.
private struct CallBody {
  let run: @Sendable (Int) -> Void

  /// Runs it without taking a reference: the function may end its thread, and the caller's compiler
  /// checks that nothing refers to its closure any more.
  // Safety: the body is there; a closure in memory is its function and its context.
  @unsafe
  static func run(_ body: UnsafeMutableRawPointer, on cpu: Int) {
    unsafe cpi_call_closure(
      body.load(as: UInt.self), body.load(fromByteOffset: 8, as: UInt.self), cpu)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension Coordinator {
  /// Sends work to every CPU of a mask, and reports what became of it, per CPU.
  ///
  ///     let report = coordinator.send(flush, to: coordinator.isolated, where: { usesTable[$0] })
  ///     report.deferred  // those run it before they can see anything stale
  ///
  /// What the caller wrote before is seen by the handler. However often a type is sent, at most one
  /// run per CPU is pending. The predicate is asked once per target, just before the send. A thread
  /// that sends often keeps a `Sender`, which counts without atomic additions: 2 ns a target
  /// instead of 6.
  ///
  /// A mask with a CPU that the coordinator does not have ends the process with a sentence.
  ///
  /// - Progress: wait-free for `.deferrable`; `.immediate` may make a system call per target;
  ///   `.onBehalf` runs handlers
  /// - Context: any thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func send(
    _ work: WorkType, to mask: CPUMask, urgency: Urgency = .deferrable,
    file: StaticString = #fileID, line: UInt = #line, where predicate: (Int) -> Bool
  ) -> SendReport {
    path.send(work, to: mask, urgency: urgency, from: CallSite(file, line), where: predicate)
  }

  /// Sends work to every CPU of a mask, whatever it does.
  ///
  ///     let report = coordinator.send(flush, to: coordinator.isolated)
  ///
  /// - Progress: wait-free for `.deferrable`; `.immediate` may make a system call per target;
  ///   `.onBehalf` runs handlers
  /// - Context: any thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func send(
    _ work: WorkType, to mask: CPUMask, urgency: Urgency = .deferrable,
    file: StaticString = #fileID, line: UInt = #line
  ) -> SendReport {
    path.send(work, to: mask, urgency: urgency, from: CallSite(file, line))
  }

  /// Sends work with a payload to every CPU of a mask.
  ///
  ///     coordinator.send(flush, payload: .range(16..<24), to: coordinator.cpus)
  ///
  /// The payload merges with what waits for each CPU. For a type whose delivery is `.merging`; with
  /// another it ends the process with a sentence.
  ///
  /// - Progress: lock-free for `.deferrable`: the merge repeats when another sender was faster
  /// - Context: any thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func send(
    _ work: WorkType, payload: WorkType.Payload, to mask: CPUMask,
    urgency: Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true }
  ) -> SendReport {
    let path = self.path
    path.requireMerging(work)
    return path.send(
      work, to: mask, urgency: urgency, from: CallSite(file, line), payload: payload.rawValue,
      where: predicate)
  }

  /// Sends work to one CPU.
  ///
  ///     coordinator.send(flush, to: 3)
  ///
  /// - Progress: wait-free for `.deferrable`; `.immediate` may make a system call; `.onBehalf` runs
  ///   the handler
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, urgency: Urgency = .deferrable, file: StaticString = #fileID,
    line: UInt = #line
  ) -> SendOutcome {
    let path = self.path
    return urgency == .deferrable
      ? path.deliver(work, to: cpu, from: CallSite(file, line))
      : path.deliverSlow(work, to: cpu, urgency: urgency, from: CallSite(file, line))
  }

  /// Makes a sender with a slot of its own.
  ///
  /// - Throws: `outOfMemory`, `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes, once for each sender that exists at the same time
  public func makeSender() throws(IsolationError) -> Sender {
    Sender(path: SendPath(core: core, sender: try takeSenderSlot()), coordinator: self)
  }
}

extension Coordinator {
  /// Takes a sender slot that nobody uses, or makes one.
  func takeSenderSlot() throws(IsolationError) -> SenderSlot {
    let free: SenderSlot? = try registry.withLock { state throws(IsolationError) in
      if state.isClosed { throw IsolationError(.closed, "the coordinator is closed") }
      return state.freeSenders.popLast()
    }
    if let free { return free }
    let memory = try SenderMemory(cpus: core.slots.count, isShared: false)
    registry.withLock { state in
      state.senders.append(memory)
      state.trace.mark(memory.slot)
    }
    return memory.slot
  }

  @usableFromInline
  func giveBack(_ slot: SenderSlot) {
    registry.withLock { $0.freeSenders.append(slot) }
  }
}

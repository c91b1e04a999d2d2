// SPDX-License-Identifier: Apache-2.0

/// Who can send work to CPUs: a `Coordinator` for any thread, a `Sender` for one that sends often, a
/// ``LocalCPU`` or a ``CPUHandle`` for a CPU's own thread. All offer the same sends.
///
///     func refreshAll(_ sender: borrowing some WorkSender & ~Copyable) {
///       sender.send(refresh, to: sender.coordinator.cpus)
///     }
///
/// | sends through | counts | belongs to |
/// |---|---|---|
/// | ``Coordinator`` | atomically, or in the slot of the calling CPU | any thread |
/// | ``Sender`` | in a slot of its own | one thread at a time |
/// | ``LocalCPU``, ``CPUHandle`` | in the CPU's slot | the CPU's thread |
///
/// What the caller wrote before a send is seen by the handler. However often a type is sent, at most
/// one run per CPU is pending. A CPU that the coordinator does not have ends the process with a
/// sentence. There are no other conformances.
///
/// - Progress: as each member says
/// - Context: as the conforming type
/// - Allocates: never to send
public protocol WorkSender: ~Copyable {
  /// The coordinator to whose CPUs it sends.
  var coordinator: Coordinator { get }
  /// The way of its sends: the library's own.
  var path: WorkType.SendPath { get }
}

extension WorkSender where Self: ~Copyable {
  /// Sends work to one CPU with a choice of urgency.
  ///
  ///     sender.send(flush, to: 3, urgency: .immediate)
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number. Any that is no CPU of the coordinator ends the process with a sentence.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: wait-free for `.deferrable`; `.immediate` may make a system call; `.onBehalf` runs
  ///   the handler
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, urgency: WorkType.Urgency, file: StaticString = #fileID,
    line: UInt = #line
  ) -> SendOutcome {
    let path = self.path
    return urgency == .deferrable
      ? path.deliver(work, to: cpu, from: CallSite(file, line))
      : path.deliverSlow(work, to: cpu, urgency: urgency, from: CallSite(file, line))
  }

  /// Sends work with a payload to one CPU.
  ///
  ///     sender.send(flush, to: 3, payload: .range(16..<24))
  ///
  /// The payload merges with what waits there. For a type whose delivery is `.merging`; with another
  /// it ends the process with a sentence. A payload of no bits says nothing: the answer is
  /// `.skipped`.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number. Any that is no CPU of the coordinator ends the process with a sentence.
  ///   - payload: what the handler is told, merged with what waits.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: lock-free for `.deferrable`: the merge repeats when another sender was faster
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, payload: WorkType.Payload,
    urgency: WorkType.Urgency = .deferrable,
    file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    let path = self.path
    let site = CallSite(file, line)
    path.requireMerging(work, site)
    if payload.rawValue == 0 { return path.skip(work, cpu, site) }
    return path.deliverSlow(
      work, to: cpu, urgency: urgency, from: site, payload: payload.rawValue)
  }

  /// Sends work to every CPU of a mask, and reports what became of it, per CPU.
  ///
  ///     let report = coordinator.send(flush, to: coordinator.isolated)
  ///     report[.deferred]  // those run it before they can see anything stale
  ///
  /// A payload merges with what waits for each CPU. It is for a type whose delivery is `.merging`;
  /// with another it ends the process with a sentence. With a payload of no bits every target is
  /// skipped.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - mask: the targets. A member that is no CPU of the coordinator ends the process with a
  ///     sentence.
  ///   - payload: what the handler is told, merged with what waits; `.everything` is for all types.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send, by CPU; `refusal` says why nothing was sent.
  /// - Progress: wait-free for `.deferrable`, with a payload lock-free; `.immediate` may make a
  ///   system call per target; `.onBehalf` runs handlers
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult @inlinable
  public func send(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload = .everything,
    urgency: WorkType.Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line
  ) -> Report<SendOutcome> {
    var report = Report<SendOutcome>()
    path.send(
      work, to: mask, payload: payload, urgency: urgency, from: CallSite(file, line), into: &report)
    return report
  }

  /// Sends work to the CPUs of a mask that a predicate agrees to.
  ///
  ///     coordinator.send(flush, to: coordinator.isolated) { cpu in usesTable[cpu] }
  ///
  /// The predicate is asked once per target, just before the send.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - mask: the targets. A member that is no CPU of the coordinator ends the process with a
  ///     sentence.
  ///   - payload: what the handler is told, merged with what waits; `.everything` is for all types.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - predicate: asked once for each target, just before the send; the targets that it refuses
  ///     are `.skipped`.
  /// - Returns: what became of the send, by CPU; `refusal` says why nothing was sent.
  /// - Progress: as the form without a predicate
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func send(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload = .everything,
    urgency: WorkType.Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool
  ) -> Report<SendOutcome> {
    let path = self.path
    let site = CallSite(file, line)
    if payload != .everything { path.requireMerging(work, site) }
    if payload.rawValue == 0 {
      return path.send(work, to: mask, urgency: urgency, from: site) { _ in false }
    }
    return path.send(
      work, to: mask, urgency: urgency, from: site, payload: payload.rawValue, where: predicate)
  }

  /// Puts a call into one CPU's queue and does not wait.
  ///
  ///     if coordinator.post(call, on: 3) == .busy { … }  // the last one has not been taken yet
  ///
  /// - Parameters:
  ///   - call: a call that is not in flight, else the answer is `.busy`.
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.queued`; `.busy`, `.gone` or `.closed` where nothing was queued.
  /// - Progress: lock-free while a thread is attached, else it waits for one on its way in or out; a
  ///   kick may make a system call
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func post(
    _ call: borrowing CrossCall, on cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> CallOutcome {
    let path = self.path
    let site = CallSite(file, line)
    path.core.requireCPU(cpu, site)
    if path.core.isClosed { return .closed }
    if path.core.isForked { return .gone }
    guard CallRecord.claim(call.record, call.handler, isWaitedFor: false, site: site) else {
      return .busy
    }
    return CallPath(path.core, path).enqueue(
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
  /// - Parameters:
  ///   - mask: the targets. A member that the coordinator does not have ends the process with a
  ///     sentence.
  ///   - context: handed on to the function.
  ///   - isInterruptSafe: whether the function may run in a signal handler.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - predicate: asked once for each target, just before the send; the targets that it refuses
  ///     are `.skipped`.
  ///   - function: a C function; it gets the context and the number of the CPU that it runs on.
  /// - Returns: what became of each call; `refusal` says why nothing was queued.
  /// - Progress: lock-free while threads are attached, else it waits for those on their way in or
  ///   out; kicks may make a system call each
  /// - Context: the sender's thread, also inside a handler
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func post(
    on mask: CPUMask, context: UnsafeMutableRawPointer?, isInterruptSafe: Bool = false,
    file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true }, _ function: CPUFunction
  ) -> Report<CallOutcome> {
    let path = self.path
    // Safety: the caller's to see to.
    let handler = unsafe CPUHandler(function, context)
    return CallPath(path.core, path).post(
      to: mask, handler, isInterruptSafe: isInterruptSafe, from: CallSite(file, line),
      where: predicate)
  }
}

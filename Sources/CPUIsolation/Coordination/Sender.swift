// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A thread's licence to send at full speed: a slot in which it counts alone.
///
///     let sender = try coordinator.makeSender()
///     sender.send(flush, to: 3)  // 2 ns on a CPU in user, statistics included
///
/// Any thread may send through `Coordinator.send`, which finds the thread's own slot, or counts
/// atomically in a shared one. A housekeeping thread that sends often keeps a `Sender`. The value
/// belongs to one thread at a time: it cannot be copied, and is not `Sendable`.
///
/// - Progress: wait-free to send
/// - Context: one thread
/// - Allocates: never after it was made
@frozen @safe
public struct Sender: ~Copyable {
  @usableFromInline let path: SendPath
  @usableFromInline let coordinator: Unmanaged<Coordinator>

  init(path: SendPath, coordinator: Coordinator) {
    self.path = path
    unsafe self.coordinator = unsafe Unmanaged.passRetained(coordinator)
  }

  deinit {
    unsafe coordinator.takeUnretainedValue().giveBack(path.sender)
    unsafe coordinator.release()
  }

  /// Sends deferrable work to one CPU.
  ///
  ///     if sender.send(flush, to: 3) == .gone { forget(3) }
  ///
  /// - Progress: wait-free
  /// - Context: the sender's thread
  /// - Allocates: never
  @discardableResult @inlinable @inline(__always)
  public func send(
    _ work: WorkType, to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    path.deliver(work, to: cpu, from: CallSite(file, line))
  }

  /// Sends work to one CPU with a choice of urgency.
  ///
  ///     sender.send(flush, to: 3, urgency: .immediate)
  ///
  /// - Progress: wait-free for `.deferrable`; `.immediate` may make a system call; `.onBehalf` runs
  ///   the handler
  /// - Context: the sender's thread
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, urgency: Urgency, file: StaticString = #fileID,
    line: UInt = #line
  ) -> SendOutcome {
    urgency == .deferrable
      ? path.deliver(work, to: cpu, from: CallSite(file, line))
      : path.deliverSlow(work, to: cpu, urgency: urgency, from: CallSite(file, line))
  }

  /// Sends work to every CPU of a mask.
  ///
  ///     let report = sender.send(flush, to: coordinator.isolated) { cpu in usesTable[cpu] }
  ///
  /// The predicate is asked once per target, just before the send. See
  /// `Coordinator.send(_:to:urgency:where:)`.
  ///
  /// - Progress: wait-free for `.deferrable`
  /// - Context: the sender's thread
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
  ///     sender.send(flush, to: coordinator.isolated)
  ///
  /// - Progress: wait-free for `.deferrable`
  /// - Context: the sender's thread
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
  ///     sender.send(flush, payload: .range(16..<24), to: coordinator.isolated)
  ///
  /// For a type whose delivery is `.merging`; with another it ends the process with a sentence.
  ///
  /// - Progress: lock-free for `.deferrable`: the merge repeats when another sender was faster
  /// - Context: the sender's thread
  /// - Allocates: never for CPUs below 128
  @discardableResult
  public func send(
    _ work: WorkType, payload: WorkType.Payload, to mask: CPUMask,
    urgency: Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool = { _ in true }
  ) -> SendReport {
    path.requireMerging(work)
    return path.send(
      work, to: mask, urgency: urgency, from: CallSite(file, line), payload: payload.rawValue,
      where: predicate)
  }
}

// Two threads that count in one slot would lose counts.
@available(*, unavailable)
extension Sender: Sendable {}

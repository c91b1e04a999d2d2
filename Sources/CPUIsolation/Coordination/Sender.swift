// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A thread's licence to send at full speed: a slot in which it counts alone.
///
///     let sender = try coordinator.makeSender()
///     sender.send(flush, to: 3)  // 2 ns on a CPU in user, statistics included
///
/// Any thread may send through `Coordinator.send`, which finds the thread's own slot, or counts
/// atomically in a shared one. A housekeeping thread that sends often keeps a ``Sender``. The value
/// belongs to one thread at a time: it cannot be copied, and is not `Sendable`.
///
/// - Progress: wait-free to send
/// - Context: one thread
/// - Allocates: never after it was made
@frozen @safe
public struct Sender: ~Copyable, WorkSender {
  /// The way of its sends: the library's own.
  public let path: WorkType.SendPath
  @usableFromInline let home: Unmanaged<Coordinator>

  init(path: SendPath, coordinator: Coordinator) {
    self.path = path
    // Safety: one reference, which `deinit` gives back.
    unsafe home = unsafe Unmanaged.passRetained(coordinator)
  }

  deinit {
    // Safety: the reference of `init`.
    unsafe home.takeUnretainedValue().giveBack(path.sender)
    unsafe home.release()
  }

  /// The coordinator to whose CPUs it sends.
  // Safety: the reference of `init`.
  public var coordinator: Coordinator { unsafe home.takeUnretainedValue() }

  /// Sends deferrable work to one CPU.
  ///
  ///     if sender.send(flush, to: 3) == .gone { forget(3) }
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number. Any that is no CPU of the coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: wait-free
  /// - Context: the sender's thread
  /// - Allocates: never
  @discardableResult @inlinable @inline(__always)
  public func send(
    _ work: WorkType, to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    path.deliver(work, to: cpu, from: CallSite(file, line))
  }
}

// Two threads that count in one slot would lose counts.
@available(*, unavailable)
extension Sender: Sendable {}

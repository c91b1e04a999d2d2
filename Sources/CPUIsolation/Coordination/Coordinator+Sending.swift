// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension Coordinator: WorkSender {
  /// Sends deferrable work to one CPU.
  ///
  ///     coordinator.send(flush, to: 3)
  ///
  /// A thread that sends often keeps a `Sender`, which counts without atomic additions: 2 to 3 ns a target
  /// instead of 5.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number. Any that is no CPU of the coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func send(
    _ work: WorkType, to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    let site = CallSite(file, line)
    guard let own = ownSenderSlot else {
      return SendPath(core: core, sender: sharedSender).deliverShared(work, to: cpu, from: site)
    }
    return SendPath(core: core, sender: own).deliver(work, to: cpu, from: site)
  }

  /// Itself, as the other senders have it.
  @inlinable
  public var coordinator: Coordinator { self }

  /// Makes a sender with a slot of its own.
  ///
  /// - Throws: `outOfMemory`, `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes, once for each sender that exists at the same time
  public func makeSender() throws(IsolationError) -> Sender {
    Sender(
      path: SendPath(core: core, sender: try takeSenderSlot(), inline: .all),
      coordinator: self)
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
    memory.slot.flags.value.store(SenderFlags.unused, ordering: .relaxed)
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

/// A coordinator's sends that the library makes for a caller who is in no signal handler.
struct LibrarySender: WorkSender {
  let coordinator: Coordinator

  var path: SendPath {
    SendPath(core: coordinator.core, sender: coordinator.path.sender, inline: .interruptSafe)
  }
}

extension Coordinator {
  var forLibrary: LibrarySender { LibrarySender(coordinator: self) }
}

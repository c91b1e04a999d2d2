// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension CPUHandle {
  /// Tells this attachment from all others of the same CPU; never 0.
  @inlinable @inline(__always)
  package var attachment: UInt64 {
    slot.state.incarnation.load(ordering: .relaxed)
  }

  /// Whether this is one of the coordinator's CPUs.
  @inlinable @inline(__always)
  package func belongs(to coordinator: Coordinator) -> Bool { core.base == coordinator.core.base }

  /// Whether the calling thread is this CPU.
  package var isCallers: Bool { CurrentThread.isThread(of: slot) }

  /// Whether the CPU runs a handler or a cross call; asked by its own thread.
  package var isInHandler: Bool {
    slot.owner.special.load(ordering: .relaxed) & OwnerFlags.inHandler != 0
  }

  /// Whether this is one of the coordinator's CPUs, in that attachment, and in kernel: what code
  /// that may run in kernel alone asks, without a call.
  @inlinable @inline(__always)
  package func isInKernel(of coordinator: Coordinator, attachment: UInt64) -> Bool {
    ContextTracker(slot).ownContext == UInt64(CPUContext.kernel.rawValue)
      && attachment == self.attachment && belongs(to: coordinator)
  }
}

// SPDX-License-Identifier: Apache-2.0

/// Where a CPU is: what it may touch, and whether work for it may wait.
///
///     coordinator.context(of: 3)  // .user
///
/// | context | the thread | deferrable work sent to it |
/// |---|---|---|
/// | `kernel` | may touch shared state | queued: runs at its next safe point, exit or entry |
/// | `user` | in its hot loop, touches none | deferred to its next entry |
/// | `idle` | has nothing to do, may sleep | deferred; a housekeeping CPU is woken |
/// | `guest` | in code that is not its own, such as a plug-in or a virtual machine | deferred |
/// | `offline` | there is no thread | gone |
///
/// The names are those of Linux's context tracking (`include/linux/context_tracking_state.h`).
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum CPUContext: UInt8, Sendable, CaseIterable, CustomStringConvertible {
  case kernel = 0
  case user = 1
  case idle = 2
  case guest = 3
  case offline = 4

  /// Whether a CPU in this context promises not to look at maintained state before it has entered.
  @inlinable
  public var acceptsDeferral: Bool { self == .user || self == .idle || self == .guest }

  public var description: String {
    switch self {
    case .kernel: "kernel"
    case .user: "user"
    case .idle: "idle"
    case .guest: "guest"
    case .offline: "offline"
    }
  }
}

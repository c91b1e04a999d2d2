// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What housekeepers really change, and isolated CPUs really use: patched code, mapped memory,
/// timers and keys.
///
/// The witness sees that no send is lost; this sees what a send is for. It executes and reads, and
/// judges whether that was legal.
final class LiveState: Sendable {
  let legality = Legality()
  let memory: LiveMemory
  let pages: LivePages
  let handles: LiveHandles
  let timers: LiveTimers
  let keys: LiveKeys
  /// Nil where the system forbids executable memory.
  let text: LiveText?
  /// Why there is no text.
  let refusal: String?
  private let coordinator: Coordinator

  init(
    _ coordinator: Coordinator, housekeepers: Int, urgency: WorkType.Urgency, _ broken: BrokenOrder?
  ) throws(IsolationError) {
    self.coordinator = coordinator
    memory = LiveMemory(housekeepers: housekeepers, legality)
    pages = try LivePages(coordinator, memory, urgency: urgency)
    handles = try LiveHandles(cpus: (coordinator.cpus.last ?? 0) + 1, memory, broken)
    timers = try LiveTimers(coordinator, housekeepers: housekeepers, urgency: urgency)
    keys = try LiveKeys(coordinator, housekeepers: housekeepers)
    do throws(IsolationError) {
      text = try LiveText(coordinator, housekeepers: housekeepers, urgency: urgency)
      refusal = nil
    } catch  where error.code == .textPatchingRefused {
      text = nil
      refusal = "\(error)"
    }
  }

  /// The work type that carries a callback in earnest, besides the witness's own.
  func work(_ callback: Callback) -> WorkType? {
    switch callback {
    case .syncCore: text?.patcher.work
    case .flushTLBAll: pages.space.flushAllWork
    case .flushTLBRange: pages.space.flushRangeWork
    case .nohzKick: timers.kick.work
    case .plainCall: nil
    }
  }

  /// Ends it, when all threads have been joined.
  func close() throws(IsolationError) {
    try text?.patcher.close().get()
    try pages.space.close().get()
  }
}

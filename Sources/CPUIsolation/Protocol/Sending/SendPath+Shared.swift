// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension SendPath {
  /// The deferrable send of a thread that has no slot of its own: as `deliver`, and one atomic addition in
  /// a slot that it shares. To stay off the way of `conclude` is worth it: what is handed over on the
  /// stack has to drain before that addition.
  @inline(__always)
  func deliverShared(_ work: WorkType, to cpu: Int, from site: CallSite) -> SendOutcome {
    guard
      cpu >= 0, cpu < core.slots.count, work.type < BuiltInWork.calls,
      // Relaxed — send:R, as in `deliver`.
      core.records[work.type].registration.load(ordering: .relaxed)
        == work.registration,
      work.care == 0
    else { return deliverSlow(work, to: cpu, urgency: .deferrable, from: site) }
    let slot = core.slots[cpu]
    // Sequentially consistent — send:O and send:L, as in `deliver`.
    let wasPending = slot.state.work.setBit(work.type)
    let word = slot.state.word.load(ordering: .sequentiallyConsistent)
    guard
      word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue)
        && sender.flags.value.load(ordering: .relaxed) == SenderFlags.shared
    else { return conclude(work, cpu, word, wasPending: wasPending, urgency: .deferrable, site) }
    let cell = sender.cell(target: cpu, type: work.type)
    if wasPending {
      cell.value.merged.wrappingAdd(1, ordering: .relaxed)
      return .merged
    }
    cell.value.deferredInUser.wrappingAdd(1, ordering: .relaxed)
    cell.value.note(site)
    return .deferred
  }
}

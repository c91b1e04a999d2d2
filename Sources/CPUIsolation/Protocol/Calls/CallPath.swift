// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The queues of cross calls, as a caller sees them.
struct CallPath {
  let core: CoordinatorCore
  let path: SendPath

  init(_ core: CoordinatorCore, _ path: SendPath) {
    self.core = core
    self.path = path
  }

  /// Puts a claimed record into a CPU's queue, and kicks the CPU if the queue was empty.
  ///
  /// Whoever finds the queue empty rings: sets the bit in K and kicks. Whoever finds it filled
  /// leaves that to the one who filled it.
  func enqueue(
    _ record: Place<CallRecord>, on cpu: Int, isInterruptSafe: Bool,
    isPooled: Bool = false, from site: CallSite
  ) -> CallOutcome {
    let slot = core.slots[cpu]
    // Acquire — call:I. Before the push. Pairs with attach:I.
    let incarnation = slot.state.incarnation.load(ordering: .acquiring)
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    let isPatient = reach.interrupter == .signal && !isInterruptSafe
    let type = isPatient ? BuiltInWork.patientCalls : BuiltInWork.calls
    let cell = path.sender.cell(target: cpu, type: type)
    path.count(cell.value.sent)
    cell.value.note(site)
    // Before the push: the record may have run, and be in use again, after it; a pooled one may be
    // anybody's, or gone with its pool.
    core.traceCall(.csdQueueCPU, record, from: site, cpu: cpu)
    let node = record.node
    let wasEmpty =
      isPatient
      ? slot.call.patientCalls.push(node) : slot.call.calls.push(node)
    if wasEmpty {
      // Sequentially consistent — send:O, as for a work type: after the push, before the look at
      // W.
      _ = slot.state.work.setBit(type)
      let before = core.traceTime(of: .ipiSendCPU)
      if isPatient {
        Kick.wakeIfIdle(slot)
      } else if Kick.send(to: slot) {
        path.count(cell.value.interrupted)
        core.traceIPI(to: cpu, from: site, CoordinatorCore.traceAddress(of: site), at: before)
      }
    }
    // Sequentially consistent — send:L. After the push and the OR. Pairs with leave:W: if the
    // owner's final take came before our push, we see offline here and take the queue back; else it
    // ran our call.
    var backoff = Backoff()
    while ContextWord(
      rawValue: slot.state.word.load(ordering: .sequentiallyConsistent)
    ).context == .offline {
      if slot.state.isOwned.load(ordering: .relaxed) == 0, empty(slot, isPooled) {
        return .gone
      }
      // A thread is on its way out or in, or another one empties the queue.
      backoff.wait()
    }
    // The slot changed hands since: our call ran on its way out, or was abandoned on the way in, or
    // is still there, in the new owner's queue.
    // Acquire — call:I. Pairs with attach:I.
    if slot.state.incarnation.load(ordering: .acquiring) != incarnation,
      isPooled || record.value.state.load(ordering: .relaxed) != CallRecord.State.queued
    {
      return .gone
    }
    return .queued
  }

  /// Empties the queues of a CPU without a thread. False if somebody else owns the slot.
  ///
  /// While it owns the slot, no signal handler of its own may run, which could wait here for the
  /// frame below it.
  private func empty(_ slot: CPUSlot, _ isPooled: Bool) -> Bool {
    let own = OwnerTransitions.shutOutInterrupts()
    // Acquire — attach:O. Whoever owns the slot may empty its queues: we do, for the moment, so that
    // we cannot empty those of a thread which attaches.
    let isOurs = slot.state.isOwned.exchange(1, ordering: .acquiring) == 0
    var abandoned = AbandonedCalls()
    if isOurs {
      // A caller with a plain record may be where no message can be ended, as in a signal handler.
      abandoned = Drain(core, slot).abandonCalls(leavingPooled: !isPooled)
      // Release — detach:R.
      slot.state.isOwned.store(0, ordering: .releasing)
    }
    if let own { OwnerTransitions.admitInterrupts(own) }
    abandoned.end()
    return isOurs
  }

  /// The outcome of a waited-for call, or nil while there is none.
  static func outcome(of record: Place<CallRecord>, isOver: Bool) -> CallOutcome? {
    // Acquire — call:W. What the function did is seen by the waiter. Pairs with callRecord:D.
    switch record.value.state.load(ordering: .acquiring) {
    case CallRecord.State.done:
      record.value.state.store(CallRecord.State.idle, ordering: .relaxed)
      return .executed
    case CallRecord.State.gone:
      record.value.state.store(CallRecord.State.idle, ordering: .relaxed)
      return .gone
    case CallRecord.State.queued where isOver:
      // Acquire and release — call:X. Decides against callRecord:R: one of us moves the state.
      let isCancelled = record.value.state.compareExchange(
        expected: CallRecord.State.queued, desired: CallRecord.State.cancelled,
        successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed
      ).exchanged
      return isCancelled ? .timedOut : nil
    default: return nil
    }
  }

  /// Puts a call into the queue of every CPU of a mask, in the sender's own records.
  func post(
    to mask: CPUMask, _ handler: CPUHandler, isInterruptSafe: Bool, from site: CallSite,
    where predicate: (Int) -> Bool
  ) -> Report<CallOutcome> {
    if core.isForked { return Report(.gone, of: mask) }
    var report = Report<CallOutcome>()
    for cpu in mask {
      core.requireCPU(cpu, site)
      if core.isClosed {
        report.record(.closed, for: cpu)
        break
      }
      guard predicate(cpu) else {
        report.record(.skipped, for: cpu)
        continue
      }
      let record = path.sender.record(target: cpu)
      if !CallRecord.claim(record, handler, isWaitedFor: false, site: site) {
        report.record(.busy, for: cpu)
        continue
      }
      let outcome = enqueue(record, on: cpu, isInterruptSafe: isInterruptSafe, from: site)
      report.record(outcome, for: cpu)
    }
    return report
  }
}

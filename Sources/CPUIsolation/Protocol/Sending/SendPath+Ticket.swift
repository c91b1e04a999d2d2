// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension SendPath {
  /// Why a send of this work would be refused now.
  func rejection(of work: WorkType) -> SendOutcome.Rejection? {
    // Relaxed — send:R, as in `deliver`.
    if core.records[work.type].registration.load(ordering: .relaxed)
      == work.registration
    {
      return nil
    }
    return core.line.closed.load(ordering: .relaxed) != 0 ? .closed : .unregistered
  }

  /// The ticketed send to every member of a mask: the generation that it draws.
  @usableFromInline @inline(never)
  func sendDrawingGeneration(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload, urgency: WorkType.Urgency,
    from site: CallSite, into report: inout Report<SendOutcome>
  ) -> UInt64 {
    if work.care == 0, payload == .everything, rejection(of: work) == nil {
      let generation = core.drawGeneration(of: work.type)
      send(work, to: mask, payload: payload, urgency: urgency, from: site, into: &report)
      return generation
    }
    if payload != .everything { requireMerging(work, site) }
    let (generation, sent) = sendDrawingGeneration(
      work, payload.rawValue, to: mask, urgency, from: site, where: { _ in true })
    report = sent
    return generation
  }

  /// The ticketed send: the generation that it draws, and the report.
  func sendDrawingGeneration(
    _ work: WorkType, _ payload: UInt64, to mask: CPUMask, _ urgency: WorkType.Urgency,
    from site: CallSite, where predicate: (Int) -> Bool
  ) -> (generation: UInt64, report: Report<SendOutcome>) {
    if let rejection = rejection(of: work) { return (0, Report(.rejected(rejection), of: mask)) }
    switch work.form {
    case .bit:
      return (
        core.drawGeneration(of: work.type),
        send(work, to: mask, urgency: urgency, from: site, where: predicate)
      )
    case .catchUp:
      let generation = announce(work.type)
      return (
        generation,
        catchUp(
          work, to: mask, Report(), generation, urgency: urgency, from: site, asks: true,
          where: predicate)
      )
    case .maximum, .union, .hull:
      if payload == 0 {
        return (0, send(work, to: mask, urgency: urgency, from: site) { _ in false })
      }
      return sendWithTicket(work, payload, to: mask, urgency, from: site, where: predicate)
    }
  }

  /// The ticketed send of a type with payloads: all payloads, then the generation, then the bits.
  ///
  /// The order is the argument. A drain loads the generation (`drain:G`), then takes the payload
  /// (`payload:T`), and publishes that generation after the run.
  /// - If it loads ours, our addition, and with it every merge before, comes before its exchange:
  ///   that run is told, or one before it was.
  /// - Else it publishes less, and the ticket waits for the run that our bit brings.
  /// A generation that is drawn before the merge may be published by a run for somebody else's bit
  /// that was told nothing of ours.
  func sendWithTicket(
    _ work: WorkType, _ payload: UInt64, to mask: CPUMask, _ urgency: WorkType.Urgency,
    from site: CallSite, where predicate: (Int) -> Bool
  ) -> (generation: UInt64, report: Report<SendOutcome>) {
    var report = Report<SendOutcome>()
    let slots = core.slots
    for cpu in mask {
      guard cpu < slots.count else {
        core.refuseCPU(cpu, site)
      }
      if predicate(cpu) {
        merge(payload, into: slots[cpu], work.type, work.form)
      } else {
        count(sender.cell(target: cpu, type: work.type).value.skipped)
        report.record(.skipped, for: cpu)
      }
    }
    let generation = core.drawGeneration(of: work.type)
    let before = urgency == .immediate ? core.traceTimeOfIPIs() : 0
    for cpu in mask.subtracting(report[.skipped]) {
      // Sequentially consistent — send:O and send:L, as in `deliver`.
      let wasPending = slots[cpu].state.work.setBit(work.type)
      let word = slots[cpu].state.word.load(ordering: .sequentiallyConsistent)
      let outcome = conclude(
        work, cpu, word, wasPending: wasPending, urgency: urgency, site, isOneOfMany: true)
      report.record(outcome, for: cpu)
    }
    if before != 0 {
      core.traceIPIs(
        to: report[.interrupted], from: site, core.traceAddress(ofWork: work.type), at: before)
    }
    return (generation, report)
  }
}

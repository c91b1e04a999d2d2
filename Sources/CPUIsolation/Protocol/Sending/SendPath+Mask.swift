// SPDX-License-Identifier: Apache-2.0

extension SendPath {
  /// The masked send to every member of the mask.
  func send(
    _ work: WorkType, to mask: CPUMask, urgency: WorkType.Urgency, from site: CallSite
  ) -> Report<SendOutcome> {
    if work.form == .catchUp, urgency == .deferrable, let sent = broadcast(work, to: mask) {
      // A report is eight masks: one that is filled, and copied, costs as much as fifty looks.
      let inUser = CPUMask(low: sent.low, high: sent.high)
      if inUser == mask { return Report(.deferred, of: mask) }
      return catchUp(
        work, to: mask.subtracting(inUser), Report(.deferred, of: inUser), sent.generation,
        urgency: urgency, from: site, asks: false
      ) { _ in true }
    }
    return send(work, to: mask, urgency: urgency, from: site, asks: false) { _ in true }
  }

  func requireMerging(_ work: WorkType, _ site: CallSite) {
    if work.form != .bit && work.form != .catchUp { return }
    misuse("\(work) has no payload: its delivery is not merging", site.file, site.line)
  }

  /// A send that says nothing.
  func skip(_ work: WorkType, _ cpu: Int, _ site: CallSite) -> SendOutcome {
    core.requireCPU(cpu, site)
    count(sender.cell(target: cpu, type: work.type).value.skipped)
    return .skipped
  }

  /// The masked send: one send per target, reported per target.
  func send(
    _ work: WorkType, to mask: CPUMask, urgency: WorkType.Urgency, from site: CallSite,
    payload: UInt64 = WorkType.Payload.everything.rawValue, asks: Bool = true,
    where predicate: (Int) -> Bool
  ) -> Report<SendOutcome> {
    if work.form == .catchUp {
      return catchUp(work, to: mask, urgency: urgency, from: site, asks: asks, where: predicate)
    }
    var report = Report<SendOutcome>()
    let before = urgency == .immediate ? core.traceTimeOfIPIs() : 0
    for cpu in mask {
      guard cpu < core.slots.count else {
        core.refuseCPU(cpu, site)
      }
      guard !asks || predicate(cpu) else {
        count(sender.cell(target: cpu, type: work.type).value.skipped)
        report.record(.skipped, for: cpu)
        continue
      }
      let outcome =
        urgency == .deferrable && work.care == 0
        ? deliver(work, to: cpu, from: site)
        : deliverSlow(
          work, to: cpu, urgency: urgency, from: site, payload: payload, isOneOfMany: true)
      report.record(outcome, for: cpu)
      if report.refusal != nil { break }
    }
    if before != 0 {
      core.traceIPIs(
        to: report[.interrupted], from: site, core.traceAddress(ofWork: work.type), at: before)
    }
    return report
  }
}

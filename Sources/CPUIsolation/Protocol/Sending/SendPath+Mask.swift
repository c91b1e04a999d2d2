// SPDX-License-Identifier: Apache-2.0

extension SendPath {
  /// The masked send to every member of the mask.
  func send(
    _ work: WorkType, to mask: CPUMask, urgency: Urgency, from site: CallSite
  ) -> SendReport {
    if work.form == .catchUp, urgency == .deferrable, let sent = broadcast(work, to: mask) {
      // A report is eight masks: one that is filled, and copied, costs as much as fifty looks.
      let inUser = CPUMask(low: sent.low, high: sent.high)
      if inUser == mask { return SendReport(deferred: mask) }
      return catchUp(
        work, to: mask.subtracting(inUser), SendReport(deferred: inUser), sent.generation,
        urgency: urgency, from: site, asks: false
      ) { _ in true }
    }
    return send(work, to: mask, urgency: urgency, from: site, asks: false) { _ in true }
  }

  func requireMerging(_ work: WorkType) {
    if work.form != .bit && work.form != .catchUp { return }
    misuse("\(work) has no payload: its delivery is not merging")
  }

  /// The masked send: one send per target, reported per target.
  func send(
    _ work: WorkType, to mask: CPUMask, urgency: Urgency, from site: CallSite,
    payload: UInt64 = WorkType.Payload.everything.rawValue, asks: Bool = true,
    where predicate: (Int) -> Bool
  ) -> SendReport {
    if work.form == .catchUp {
      return catchUp(work, to: mask, urgency: urgency, from: site, asks: asks, where: predicate)
    }
    var report = SendReport()
    let before = urgency == .immediate ? core.traceTimeOfIPIs() : 0
    for cpu in mask {
      guard cpu < core.slots.count else {
        misuse("there is no CPU \(cpu): this coordinator has CPUs \(core.cpus)")
      }
      guard !asks || predicate(cpu) else {
        count(sender.cell(target: cpu, type: work.type).value.skipped)
        report.skipped.insert(cpu)
        continue
      }
      let outcome =
        urgency == .deferrable && work.care == 0
        ? deliver(work, to: cpu, from: site)
        : deliverSlow(
          work, to: cpu, urgency: urgency, from: site, payload: payload, isOneOfMany: true)
      report.record(outcome, for: cpu)
      if report.rejection != nil { break }
    }
    if before != 0 {
      core.traceIPIs(
        to: report.interrupted, from: site, core.traceAddress(ofWork: work.type), at: before)
    }
    return report
  }
}

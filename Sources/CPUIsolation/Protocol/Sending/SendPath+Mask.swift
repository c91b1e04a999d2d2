// SPDX-License-Identifier: Apache-2.0

extension SendPath {
  /// The masked send to every member of the mask.
  func send(
    _ work: WorkType, to mask: CPUMask, urgency: WorkType.Urgency, from site: CallSite
  ) -> Report<SendOutcome> {
    if work.form == .catchUp, urgency == .deferrable, let sent = broadcast(work, to: mask) {
      // What is filed at once is not filed CPU by CPU.
      let inUser = CPUMask(low: sent.low, high: sent.high)
      if inUser == mask { return Report(.deferred, of: mask) }
      return catchUp(
        work, to: mask.subtracting(inUser), Report(.deferred, of: inUser), sent.generation,
        urgency: urgency, from: site, asks: false
      ) { _ in true }
    }
    if urgency == .deferrable, work.care == 0, mask.wordCount <= 2,
      (mask.last ?? 0) < core.slots.count
    {
      return deliver(work, to: mask, from: site)
    }
    return send(work, to: mask, urgency: urgency, from: site, asks: false) { _ in true }
  }

  /// The plain send to CPUs below 128. The two outcomes that most targets have are kept in words, and
  /// filed once.
  private func deliver(
    _ work: WorkType, to mask: CPUMask, from site: CallSite
  ) -> Report<SendOutcome> {
    var report = Report<SendOutcome>()
    let low = deliver(work, mask.word(at: 0), from: 0, site, &report)
    let rest = report.refusal == nil ? mask.word(at: 1) : 0
    let high = deliver(work, rest, from: 64, site, &report)
    report.file(.deferred, of: CPUMask(low: low.deferred, high: high.deferred))
    if low.merged | high.merged != 0 {
      report.file(.merged, of: CPUMask(low: low.merged, high: high.merged))
    }
    return report
  }

  @inline(__always)
  private func deliver(
    _ work: WorkType, _ word: UInt64, from first: Int, _ site: CallSite,
    _ report: inout Report<SendOutcome>
  ) -> (deferred: UInt64, merged: UInt64) {
    var left = word
    var deferred: UInt64 = 0
    var merged: UInt64 = 0
    while left != 0 {
      let bit = left & (0 &- left)
      let cpu = first &+ left.trailingZeroBitCount
      switch deliver(work, to: cpu, from: site) {
      case .deferred: deferred |= bit
      case .merged: merged |= bit
      case let outcome:
        report.record(outcome, for: cpu)
        if report.refusal != nil { return (deferred, merged) }
      }
      left ^= bit
    }
    return (deferred, merged)
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

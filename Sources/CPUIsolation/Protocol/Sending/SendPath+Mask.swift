// SPDX-License-Identifier: Apache-2.0

extension SendPath {
  /// The masked send to every member of the mask. The report is the caller's, and empty: what is written
  /// word by word is dear to copy at once.
  @usableFromInline @inline(never)
  func send(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload, urgency: WorkType.Urgency,
    from site: CallSite, into report: inout Report<SendOutcome>
  ) {
    if urgency == .deferrable, work.care == 0, work.type < BuiltInWork.calls,
      payload == .everything,
      case .inline(let low, let high) = mask.storage, isBelowCount(low, high),
      // Relaxed — send:R, as in `deliver`; one look for all, before the first.
      core.records[work.type].registration.load(ordering: .relaxed) == work.registration
    {
      deliver(work, low, from: 0, site, &report)
      if high != 0 { deliver(work, high, from: 64, site, &report) }
    } else {
      report = sendWithCare(work, to: mask, payload: payload, urgency: urgency, from: site)
    }
  }

  /// Whether CPUs below 128 are all below the number of CPUs.
  private func isBelowCount(_ low: UInt64, _ high: UInt64) -> Bool {
    let count = core.slots.count
    // Smart shifts: by 64 and more they leave nothing, by less than nothing everything.
    return low >> UInt64(max(0, count)) | high >> UInt64(max(0, count &- 64)) == 0
  }

  @inline(never)
  private func sendWithCare(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload, urgency: WorkType.Urgency,
    from site: CallSite
  ) -> Report<SendOutcome> {
    if payload != .everything {
      requireMerging(work, site)
      return send(
        work, to: mask, urgency: urgency, from: site, payload: payload.rawValue,
        where: { _ in payload.rawValue != 0 })
    }
    if work.form == .catchUp, urgency == .deferrable, let sent = broadcast(work, to: mask) {
      // What is filed at once is not filed CPU by CPU.
      let inUser = CPUMask(low: sent.low, high: sent.high)
      if inUser == mask { return Report(.deferred, of: mask) }
      return catchUp(
        work, to: mask.subtracting(inUser), Report(.deferred, of: inUser), sent.generation,
        urgency: urgency, from: site, asks: false
      ) { _ in true }
    }
    return send(work, to: mask, urgency: urgency, from: site, asks: false) { _ in true }
  }

  /// The plain send to the CPUs of one word of a mask.
  ///
  /// The two outcomes that most targets have are kept in words, and counted and filed after the last OR of
  /// a run of such targets: stores between locked instructions make these dearer. What another target
  /// means comes after that: to find out may run handlers, in which the thread may end.
  @inline(__always)
  private func deliver(
    _ work: WorkType, _ targets: UInt64, from first: Int, _ site: CallSite,
    _ report: inout Report<SendOutcome>
  ) {
    let isPlain = sender.flags.value.load(ordering: .relaxed) == 0
    var left = targets
    repeat {
      var deferred: UInt64 = 0
      var merged: UInt64 = 0
      var other: (cpu: Int, word: UInt64, wasPending: Bool)? = nil
      while left != 0 {
        let bit = left & (0 &- left)
        let cpu = first &+ left.trailingZeroBitCount
        left ^= bit
        let slot = core.slots[cpu]
        // Sequentially consistent — send:O and send:L, as in `deliver`.
        let wasPending = slot.state.work.setBit(work.type)
        let word = slot.state.word.load(ordering: .sequentiallyConsistent)
        guard isPlain, word & ContextWord.contextMask == UInt64(CPUContext.user.rawValue) else {
          other = (cpu, word, wasPending)
          break
        }
        if wasPending { merged |= bit } else { deferred |= bit }
      }
      count(merged, deferred, from: first, work.type, site)
      report.file(.merged, merged, from: first)
      report.file(.deferred, deferred, from: first)
      if let other {
        let outcome = conclude(
          work, other.cpu, other.word, wasPending: other.wasPending, urgency: .deferrable, site)
        file(outcome, other.cpu, &report)
      }
    } while left != 0
  }

  @inline(never)
  private func file(_ outcome: SendOutcome, _ cpu: Int, _ report: inout Report<SendOutcome>) {
    report.record(outcome, for: cpu)
  }

  /// Counts the sends to CPUs in user of which some found their work pending.
  @inline(__always)
  private func count(
    _ merged: UInt64, _ deferred: UInt64, from first: Int, _ type: UInt64, _ site: CallSite
  ) {
    var left = merged
    while left != 0 {
      sender.cell(target: first &+ left.trailingZeroBitCount, type: type).value.merged.countOne()
      left &= left &- 1
    }
    left = deferred
    while left != 0 {
      let cell = sender.cell(target: first &+ left.trailingZeroBitCount, type: type)
      cell.value.deferredInUser.countOne()
      cell.value.note(site)
      left &= left &- 1
    }
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

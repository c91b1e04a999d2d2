// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What the watchdog says, and to whom.
extension WatchdogService {
  /// What of the configuration concerns the watchdog.
  struct Settings {
    var interval: Duration
    var stallThreshold: Duration
    var report: (@Sendable (Coordinator.StallReport) -> Void)?
  }

  /// Reports what has lasted long enough, at doubling distances.
  func report(
    _ kind: Coordinator.StallReport.Kind, _ sight: inout Sight, _ cpu: Int, _ context: CPUContext,
    _ type: Int, _ now: UInt64, kick: Bool = false, refusal: Int32 = 0, thread: Int32? = nil
  ) {
    let age = now - sight.since
    let threshold = settings.stallThreshold.wholeNanoseconds
    if sight.nextReport == 0 { sight.nextReport = threshold }
    guard age >= sight.nextReport else { return }
    sight.reports += 1
    sight.nextReport = age * 2
    let isKicked = kick && kickAgain(cpu, type)
    var report = Coordinator.StallReport(
      kind: kind, cpu: cpu, context: context, work: name(type), age: .nanoseconds(Int64(age)),
      sender: thread == nil ? callSite(cpu, type) : nil, occurrence: sight.reports,
      kickedAgain: isKicked)
    report.thread = thread.map { .init(id: $0, name: CurrentThread.name(of: $0)) }
    if kind == .kickUnanswered {
      let slot = core.slots[cpu]
      let again = self.refusal(slot)
      report.kickError = again != 0 ? again : refusal
      report.foreignSignal = foreignSignal(slot)
    }
    emit(report)
  }

  /// The signal of a CPU's kicks, if somebody has put another handler in the place of the library's.
  private func foreignSignal(_ slot: CPUSlot) -> Int32? {
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    guard reach.interrupter == .signal else { return nil }
    return cpi_interrupt_handler_is_ours(reach.signal) ? nil : reach.signal
  }

  /// A kick may be lost: a signal that was blocked for good, a thread that was replaced. Sending it
  /// again harms nobody. Whether it was sent.
  @discardableResult
  func kickAgain(_ cpu: Int, _ type: Int) -> Bool {
    let slot = core.slots[cpu]
    // Acquire and release — watchdog:A. A take of the attention bit alone, so that the kick is a
    // new one.
    slot.state.work.bitwiseAnd(
      ~BuiltInWork.attentionMask, ordering: .acquiringAndReleasing)
    guard Kick.send(to: slot) else { return false }
    let path = SendPath(core: core, sender: sender)
    path.count(sender.cell(target: cpu, type: UInt64(type)).value.interrupted)
    return true
  }

  /// What was reported has been resolved.
  func recovered(
    _ sight: inout Sight, _ cpu: Int, _ context: CPUContext, _ type: Int, _ now: UInt64
  ) {
    defer { sight = Sight() }
    guard sight.reports > 0 else { return }
    emit(
      Coordinator.StallReport(
        kind: .recovered, cpu: cpu, context: context, work: name(type),
        age: .nanoseconds(Int64(now - sight.since)), sender: nil, occurrence: sight.reports,
        kickedAgain: false))
  }

  private func emit(_ report: Coordinator.StallReport) {
    if let told = settings.report { return told(report) }
    var line = report.description + "\n"
    // Safety: the bytes are there for the call.
    line.withUTF8 { unsafe cpi_write_error($0.baseAddress, $0.count) }
  }

  // MARK: Names

  func registration(_ type: Int) -> Registration? {
    registry.withLock { $0.registrations[type] }
  }

  private func name(_ type: Int) -> String {
    type >= Int(BuiltInWork.calls) ? "cross call" : registration(type)?.name ?? "work type \(type)"
  }

  /// Where each sender that ever set the bit last did so: one of these is the one.
  private func callSite(_ cpu: Int, _ type: Int) -> String? {
    let senders = registry.withLock { $0.senders.map(\.slot) }
    let sites = senders.compactMap { sender -> String? in
      let cell = sender.cell(target: cpu, type: UInt64(type))
      let file = cell.value.file.load(ordering: .relaxed)
      // Safety: call sites are static strings, which end with a zero.
      guard let text = unsafe UnsafePointer<CChar>(bitPattern: file) else { return nil }
      return unsafe "\(String(cString: text)):\(cell.value.lineNumber.load(ordering: .relaxed))"
    }
    return sites.isEmpty ? nil : sites.joined(separator: " or ")
  }
}

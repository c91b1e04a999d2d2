// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The thread that keeps the coarse clock, ages what is pending, escalates what is too old, and
/// reports what is stuck.
///
/// It learns of a pending bit by looking, once per interval, so senders pay for no time stamp and
/// write no second line of the target; ages are exact to one interval. It reads the lines of
/// isolated CPUs at that rate, and writes only what it has to.
final class WatchdogService: Sendable {
  /// What of the configuration concerns the watchdog.
  struct Settings {
    var interval: Duration
    var stallThreshold: Duration
    var report: (@Sendable (Coordinator.StallReport) -> Void)?
  }

  private let core: CoordinatorCore
  private let sender: SenderSlot
  private let settings: Settings
  /// The processors of isolated CPUs.
  private let avoided: ProcessorSet
  private let registry: RegistryMemory
  private struct State {
    var thread: ServiceThread? = nil
    var threadID: Int32 = 0
    var isStopping = false
  }
  private let state = Lock(State())
  private let wake = WatchdogAlarm()

  init(
    _ registry: RegistryMemory, sender: SenderSlot, settings: Settings,
    avoiding avoided: ProcessorSet
  ) {
    self.registry = registry
    core = registry.core
    self.sender = sender
    self.settings = settings
    self.avoided = avoided
    seen = Lock(Memory(cpus: core.slots.count))
  }

  func start() throws(IsolationError) {
    // Safety: one reference, which the thread takes over, or this function if there is none.
    let context = unsafe Unmanaged.passRetained(self)
    do throws(SystemError) {
      let thread = try unsafe ServiceThread.start(
        "cpu/watchdog", avoiding: avoided, context.toOpaque()
      ) { context in
        _ = unsafe cpi_set_thread_name("cpu/watchdog")
        let service = unsafe Unmanaged<WatchdogService>.fromOpaque(context.unsafelyUnwrapped)
          .takeRetainedValue()
        service.state.withLock { $0.threadID = CurrentThread.id }
        service.run()
      }
      state.withLock { $0.thread = thread }
    } catch {
      unsafe context.release()
      throw IsolationError(.threadCreationFailed, errno: error.number, "cannot start the watchdog")
    }
  }

  /// Its thread, as far as it has one, and how it was placed.
  var serviceThread: (id: Int32, thread: ServiceThread)? {
    state.withLock { state in state.thread.map { (state.threadID, $0) } }
  }

  func stop() {
    let (handle, threadID) = state.withLock { state in
      state.isStopping = true
      return (state.thread?.handle, state.threadID)
    }
    wake.parker.unpark()
    guard let handle else { return }
    // A report may have let go of the last reference to the coordinator: then this is the thread.
    _ = threadID == CurrentThread.id ? cpi_detach_thread(handle) : cpi_join_thread(handle)
  }

  // MARK: -

  /// What the watchdog remembers of one bit of one CPU.
  private struct Sight {
    var since: UInt64 = 0
    var executed: UInt64 = 0
    var type: Int? = nil
    var nextReport: UInt64 = 0
    var reports = 0
  }

  private struct Memory {
    var sights: [Sight]
    var running: [Sight]
    var pins: [Sight]

    init(cpus: Int) {
      sights = Array(repeating: Sight(), count: cpus * Limits.workTypes)
      running = Array(repeating: Sight(), count: cpus)
      pins = Array(repeating: Sight(), count: cpus)
    }
  }
  private let seen: Lock<Memory>

  private func run() {
    while !state.withLock({ $0.isStopping }) {
      look(at: cpi_monotonic_nanoseconds())
      wake.parker.park(until: Deadline(after: settings.interval))
    }
  }

  /// Moves a clock that only the test moves, and looks.
  func advance(by nanoseconds: UInt64) {
    look(at: core.clock.value.load(ordering: .relaxed) + nanoseconds)
  }

  private func look(at now: UInt64) {
    core.clock.value.store(now, ordering: .relaxed)
    seen.withLock { seen in
      for cpu in 0..<core.slots.count {
        look(at: cpu, now, &seen.sights)
        lookAtHandler(of: cpu, now, &seen.running[cpu])
        lookAtPin(of: cpu, now, &seen.pins[cpu])
      }
    }
  }

  private func look(at cpu: Int, _ now: UInt64, _ sights: inout [Sight]) {
    let slot = core.slots[cpu]
    // Relaxed — watchdog:L, hints throughout: what it decides is checked by whoever acts.
    let word = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed))
    let context = word.context ?? .kernel
    // What a CPU outside kernel has not caught up with is as pending as a bit.
    let lagging = context.acceptsDeferral ? Drain(core, slot).lagging(among: .max) : 0
    let work = slot.state.work.load(ordering: .relaxed) | lagging
    // What the system refused once it may not refuse now.
    if slot.state.kickAgain.load(ordering: .relaxed) != 0,
      slot.state.kickAgain.exchange(0, ordering: .relaxed) != 0, work != 0
    {
      kickAgain(cpu, Int(BuiltInWork.calls))
    }
    for type in 0..<Int(BuiltInWork.attention) {
      let index = cpu * Limits.workTypes + type
      let executed =
        slot.executed[type].load(ordering: .relaxed)
        &+ slot.catchUps[type].load(ordering: .relaxed)
      guard work >> UInt64(type) & 1 != 0, context != .offline else {
        if sights[index].since != 0 {
          recovered(&sights[index], cpu, context, type, now)
          slot.pendingSince[type].store(0, ordering: .relaxed)
        }
        continue
      }
      if sights[index].since == 0 || executed != sights[index].executed {
        // A new bit, or the same one set again since the last look.
        if sights[index].reports > 0 { recovered(&sights[index], cpu, context, type, now) }
        sights[index] = Sight(since: now, executed: executed)
        slot.pendingSince[type].store(now, ordering: .relaxed)
        continue
      }
      let age = now - sights[index].since
      if type < Int(BuiltInWork.calls) { escalate(slot, cpu, type, age: age) }
      let isKicked = work & BuiltInWork.attentionMask != 0
      guard context == .kernel || isKicked else { continue }
      report(
        context == .kernel ? .kernelWithoutSafePoint : .kickUnanswered, &sights[index], cpu,
        context, type, now, kick: isKicked)
    }
  }

  private func lookAtHandler(of cpu: Int, _ now: UInt64, _ sight: inout Sight) {
    let slot = core.slots[cpu]
    let special = slot.owner.special.load(ordering: .relaxed)
    guard let type = OwnerFlags.runningType(special) else {
      if let last = sight.type { recovered(&sight, cpu, .kernel, last, now) }
      sight = Sight()
      return
    }
    // Runs of either kind: a bit's, and those of a comparison.
    let executed =
      slot.executed[type].load(ordering: .relaxed)
      &+ slot.catchUps[type].load(ordering: .relaxed)
    if sight.type != type || sight.executed != executed {
      if let last = sight.type { recovered(&sight, cpu, .kernel, last, now) }
      sight = Sight(since: now, executed: executed, type: type)
      return
    }
    report(.handlerRunning, &sight, cpu, .kernel, type, now, kick: false)
  }

  private func lookAtPin(of cpu: Int, _ now: UInt64, _ sight: inout Sight) {
    let slot = core.slots[cpu]
    let pin = slot.state.pin.load(ordering: .relaxed)
    if pin == 0 || sight.since == 0 || sight.executed != pin {
      sight = pin == 0 ? Sight() : Sight(since: now, executed: pin)
      return
    }
    report(.helperHoldsPin, &sight, cpu, .user, 0, now, kick: false)
  }

  /// Makes a deferral run that is older than its type allows: on behalf where that is allowed, else
  /// by a kick.
  private func escalate(_ slot: CPUSlot, _ cpu: Int, _ type: Int, age: UInt64) {
    guard let registration = registration(type), let maximum = registration.options.maximumAge
    else { return }
    // One interval less: the bit may have been set just after the look before the first that saw
    // it.
    guard Duration.nanoseconds(Int64(age)) + settings.interval >= maximum else { return }
    let path = SendPath(core: core, sender: sender)
    let cell = sender.cell(target: cpu, type: UInt64(type))
    if registration.options.mayRunOnBehalf,
      Drain(core, slot).drainOnBehalf(1 << UInt64(type), helper: CurrentThread.id) == .ran
    {
      path.count(cell.value.escalated)
      return
    }
    if Kick.send(to: slot) {
      path.count(cell.value.interrupted)
      path.count(cell.value.escalated)
    }
  }

  private func report(
    _ kind: Coordinator.StallReport.Kind, _ sight: inout Sight, _ cpu: Int, _ context: CPUContext,
    _ type: Int,
    _ now: UInt64, kick: Bool
  ) {
    let age = now - sight.since
    let threshold = settings.stallThreshold.wholeNanoseconds
    if sight.nextReport == 0 { sight.nextReport = threshold }
    guard age >= sight.nextReport else { return }
    sight.reports += 1
    sight.nextReport = age * 2
    if kick { kickAgain(cpu, type) }
    emit(
      Coordinator.StallReport(
        kind: kind, cpu: cpu, context: context, work: name(type), age: .nanoseconds(Int64(age)),
        sender: callSite(cpu, type), occurrence: sight.reports, kickedAgain: kick))
  }

  /// A kick may be lost: a signal that was blocked for good, a thread that was replaced. Sending it
  /// again harms nobody.
  private func kickAgain(_ cpu: Int, _ type: Int) {
    let slot = core.slots[cpu]
    // Acquire and release — watchdog:A. A take of the attention bit alone, so that the kick is a
    // new one.
    slot.state.work.bitwiseAnd(
      ~BuiltInWork.attentionMask, ordering: .acquiringAndReleasing)
    if Kick.send(to: slot) {
      let path = SendPath(core: core, sender: sender)
      path.count(sender.cell(target: cpu, type: UInt64(type)).value.interrupted)
    }
  }

  private func recovered(
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

  private func registration(_ type: Int) -> Registration? {
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

/// A parker in memory that does not move.
// Sendable: `unpark` may be called from any thread, and `park` is called by one.
private final class WatchdogAlarm: @unchecked Sendable {
  let parker = Parker()
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The thread that keeps the coarse clock, ages what is pending, escalates what is too old, and
/// reports what is stuck.
///
/// It learns of a pending bit by looking, once per interval, so senders pay for no time stamp and
/// write no second line of the target; ages are exact to one interval. It reads the lines of
/// isolated CPUs at that rate, and writes only what it has to. It looks at CPUs that have a thread, and
/// at no types but those that are pending or were; where there is nothing to see it sleeps longer
/// (`Pace`).
final class WatchdogService: Sendable {
  let core: CoordinatorCore
  let sender: SenderSlot
  let settings: Settings
  /// The processors of isolated CPUs.
  private let avoided: ProcessorSet
  let registry: RegistryMemory
  private struct State {
    var thread: ServiceThread? = nil
    var threadID: Int32 = 0
    var isStopping = false
  }
  private let state = Lock(State())
  private let wake = WatchdogAlarm()
  /// The fork since which its thread is there: it is not in a child.
  private let forks = cpi_fork_generation()

  init(
    _ registry: RegistryMemory, sender: SenderSlot, settings: Settings,
    avoiding avoided: ProcessorSet
  ) {
    self.registry = registry
    core = registry.core
    self.sender = sender
    self.settings = settings
    self.avoided = avoided
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
    state.withLock { state in state.isStopping ? nil : state.thread.map { (state.threadID, $0) } }
  }

  /// Has its thread end, without waiting for that: it may be inside a report.
  func retire() {
    state.withLock { $0.isStopping = true }
    wake.parker.unpark()
  }

  func stop() {
    let (handle, threadID) = state.withLock { state in
      state.isStopping = true
      return (state.thread?.handle, state.threadID)
    }
    wake.parker.unpark()
    guard let handle, forks == cpi_fork_generation() else { return }
    // A report may have let go of the last reference to the coordinator: then this is the thread.
    _ = threadID == CurrentThread.id ? cpi_detach_thread(handle) : cpi_join_thread(handle)
  }

  // MARK: -

  /// What the watchdog remembers of one bit of one CPU.
  struct Sight {
    var since: UInt64 = 0
    /// How long before that it may have begun.
    var unseen: UInt64 = 0
    var executed: UInt64 = 0
    var type: Int? = nil
    var nextReport: UInt64 = 0
    var reports = 0
  }

  /// What it remembers of one CPU.
  private struct Memory {
    var sights = Array(repeating: Sight(), count: Limits.workTypes)
    /// The types whose sights have begun.
    var begun: UInt64 = 0
    var running = Sight()
    var pin = Sight()

    var isEmpty: Bool { begun == 0 && running.type == nil && pin.since == 0 }
  }
  /// The CPUs of which there is something to remember.
  private let seen = Lock<[Int: Memory]>([:])

  /// How long it sleeps at least where no CPU has a thread: it is told of the first.
  private static let intervalWithoutThreads = Duration.milliseconds(100)

  private func run() {
    var pace = Pace()
    while !state.withLock({ $0.isStopping }) {
      let isQuiet = look(at: cpi_monotonic_nanoseconds(), unseen: pace.pause)
      let isAlone = registry.withLock { $0.attached.isEmpty }
      let interval =
        isAlone ? max(settings.interval, Self.intervalWithoutThreads) : settings.interval
      pace.lookEnded(
        used: cpi_thread_nanoseconds(), isQuiet: isQuiet, interval, atMost: longestPause)
      wake.parker.park(until: Deadline(after: .nanoseconds(Int64(pace.pause))))
    }
  }

  /// There is something new to look at: a thread that has attached, or a type with a maximum age.
  func notice() { wake.parker.unpark() }

  /// Moves a clock that only the test moves, and looks. Whether there was nothing to see.
  @discardableResult
  func advance(by nanoseconds: UInt64) -> Bool {
    look(at: core.clock.value.load(ordering: .relaxed) + nanoseconds)
  }

  /// The CPUs of which it remembers something.
  var remembered: CPUMask { CPUMask(seen.withLock { Array($0.keys) }) }

  /// Looks at the CPUs that have a thread; the last look may be so long ago. Whether there was nothing
  /// to see.
  private func look(at now: UInt64, unseen: UInt64 = 0) -> Bool {
    core.clock.value.store(now, ordering: .relaxed)
    let attached = registry.withLock { state in
      state.followStaticProbes(in: core)
      return state.attached
    }
    if attached.isEmpty { return true }
    let (left, isQuiet) = seen.withLock { seen in
      var left: [Int] = []
      for cpu in attached {
        let isOffline = isOffline(cpu)
        if !isOffline, isUneventful(core.slots[cpu]), seen[cpu] == nil { continue }
        look(at: cpu, now, unseen, &seen[cpu, default: Memory()])
        guard seen[cpu]?.isEmpty == true else { continue }
        seen[cpu] = nil
        if isOffline { left.append(cpu) }
      }
      return (left, seen.isEmpty)
    }
    if left.isEmpty { return isQuiet }
    registry.withLock { state in
      // A thread attaches under this lock.
      for cpu in left where isOffline(cpu) { state.attached.remove(cpu) }
    }
    return isQuiet
  }

  private func look(at cpu: Int, _ now: UInt64, _ unseen: UInt64, _ seen: inout Memory) {
    lookAtWork(of: cpu, now, unseen, &seen)
    lookAtHandler(of: cpu, now, &seen.running)
    lookAtPin(of: cpu, now, &seen.pin)
  }

  private func lookAtWork(
    of cpu: Int, _ now: UInt64, _ unseen: UInt64, _ seen: inout Memory
  ) {
    let slot = core.slots[cpu]
    // Relaxed — watchdog:L, hints throughout: what it decides is checked by whoever acts.
    let word = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed))
    let context = word.context ?? .kernel
    // What a CPU outside kernel has not caught up with is as pending as a bit.
    let lagging = context.acceptsDeferral ? Drain(core, slot).lagging(among: .max) : 0
    let work = slot.state.work.load(ordering: .relaxed) | lagging
    let refusal = retryKick(slot, cpu, work)
    let pending = context == .offline ? 0 : work
    let isRun = context != .offline && isDraining(slot)
    var left = (pending | seen.begun) & ((1 << BuiltInWork.attention) - 1)
    while left != 0 {
      let type = left.trailingZeroBitCount
      left &= left &- 1
      let executed =
        slot.executed[type].load(ordering: .relaxed)
        &+ slot.catchUps[type].load(ordering: .relaxed)
      guard pending >> UInt64(type) & 1 != 0 else {
        recovered(&seen.sights[type], cpu, context, type, now)
        // Whoever has taken it counts its age when it has run.
        if isRun { continue }
        seen.begun &= ~(1 << UInt64(type))
        slot.pendingSince[type].store(0, ordering: .relaxed)
        continue
      }
      if isRun, seen.begun >> UInt64(type) & 1 != 0, seen.sights[type].since == 0 { continue }
      if seen.sights[type].since == 0 || executed != seen.sights[type].executed {
        // A new bit, or the same one set again since the last look.
        if seen.sights[type].reports > 0 {
          recovered(&seen.sights[type], cpu, context, type, now)
        }
        seen.sights[type] = Sight(since: now, unseen: unseen, executed: executed)
        seen.begun |= 1 << UInt64(type)
        slot.pendingSince[type].store(now, ordering: .relaxed)
        continue
      }
      let age = now - seen.sights[type].since
      if type < Int(BuiltInWork.calls) {
        escalate(slot, cpu, type, age: age, unseen: seen.sights[type].unseen)
      }
      let isKicked = work & BuiltInWork.attentionMask != 0
      guard context == .kernel || isKicked || refusal != 0 else { continue }
      report(
        context == .kernel ? .kernelWithoutSafePoint : .kickUnanswered, &seen.sights[type], cpu,
        context, type, now, kick: isKicked, refusal: refusal)
    }
  }

  /// Kicks again where the system has refused it: it may not now. The number of its error, if it
  /// does.
  private func retryKick(_ slot: CPUSlot, _ cpu: Int, _ work: UInt64) -> Int32 {
    if slot.state.kickAgain.load(ordering: .relaxed) == 0 { return 0 }
    if slot.state.kickAgain.exchange(0, ordering: .relaxed) != 0, work != 0 {
      kickAgain(cpu, Int(BuiltInWork.calls))
    }
    return refusal(slot)
  }

  /// With which error the system has refused the last kick; 0 if it has not.
  func refusal(_ slot: CPUSlot) -> Int32 {
    Int32(truncatingIfNeeded: slot.state.kickAgain.load(ordering: .relaxed) >> 32)
  }

  /// Makes a deferral run that is older than its type allows: on behalf where that is allowed, else
  /// by a kick.
  private func escalate(
    _ slot: CPUSlot, _ cpu: Int, _ type: Int, age: UInt64, unseen: UInt64
  ) {
    guard let registration = registration(type), let maximum = registration.options.maximumAge
    else { return }
    // The bit may have been set just after the look before the first that saw it.
    let oldest = age + max(unseen, settings.interval.wholeNanoseconds)
    guard oldest >= maximum.wholeNanoseconds else { return }
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
}

/// A parker in memory that does not move.
// Sendable: `unpark` may be called from any thread, and `park` is called by one.
private final class WatchdogAlarm: @unchecked Sendable {
  let parker = Parker()
}

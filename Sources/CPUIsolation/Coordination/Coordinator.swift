// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Brings work to CPUs without disturbing those that are isolated.
///
///     let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
///     let refresh = try coordinator.register("refresh") { cpu in caches[cpu].removeAll() }
///     let thread = try coordinator.launch(on: 1) { cpu in
///       while !stop.load(ordering: .relaxed) {
///         cpu.inUser { hotLoop() }  // nobody disturbs this
///         serve()  // every refresh that was sent meanwhile has run
///       }
///     }
///     coordinator.send(refresh, to: coordinator.isolated)  // a few nanoseconds, no signal
///
/// A CPU is a slot, a small number, with at most one thread at a time. Threads are started by
/// `launch`, or bring themselves by `attach`. Keep the coordinator for as long as the server runs;
/// it ends when nobody refers to it and no CPU is attached.
///
/// Do not use it where a lock or an atomic does: for state that the hot loop looks at in every
/// iteration anyway.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class Coordinator: Sendable {
  @usableFromInline let core: CoordinatorCore
  let configuration: Configuration
  package let signal: Int32
  let registry: RegistryMemory
  /// The slot of threads that have none of their own: it counts atomically.
  let sharedSender: SenderSlot
  let traceMemory: TraceMemory
  let watchdog: WatchdogService?

  /// Makes a coordinator, and starts its watchdog.
  ///
  /// - Parameter configuration: the CPUs, and how they are pinned, kicked, watched and traced.
  /// - Throws: `invalidConfiguration`, `outOfMemory`, `signalTaken`, `signalRefused`,
  ///   `threadCreationFailed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ configuration: Configuration) throws(IsolationError) {
    try configuration.validate()
    let cpus = configuration.cpuCount
    self.configuration = configuration
    signal = configuration.interruptSignal ?? cpi_default_interrupt_signal()
    let sharedMemory = try SenderMemory(cpus: cpus, isShared: true)
    sharedSender = sharedMemory.slot
    let watchdogMemory = try SenderMemory(cpus: cpus, isShared: false)
    registry = try RegistryMemory(
      cpus: cpus, existing: configuration.isolated.union(configuration.housekeeping),
      senders: [sharedMemory, watchdogMemory])
    core = registry.core
    core.clock.value.store(cpi_monotonic_nanoseconds(), ordering: .relaxed)
    core.line.drainFlags.store(
      configuration.timesDrains ? DrainFlags.times : 0, ordering: .relaxed)
    traceMemory = try TraceMemory(cpus: cpus, events: configuration.traceEvents)
    watchdog = configuration.watchdog.map { [registry] settings in
      WatchdogService(
        registry, sender: watchdogMemory.slot,
        settings: .init(
          interval: settings.interval, stallThreshold: settings.stallThreshold,
          report: settings.report),
        avoiding: configuration.isolatedProcessors)
    }
    // From here on `deinit` follows, also where something is refused.
    HazardReclaimer.shared.avoid(configuration.isolatedProcessors)
    core.line.trace.store(
      traceMemory.buffers.base.bits, ordering: .relaxed)
    registry.withLock { $0.followStaticProbes(in: core) }
    // Before anybody attaches, so that a call which comes first is in the right queue.
    for cpu in self.cpus {
      core.slots[cpu].state.reach.store(
        reach(of: cpu, thread: 0).rawValue, ordering: .relaxed)
    }
    if configuration.isolatedInterrupter == .signal
      || configuration.housekeepingInterrupter == .signal
    {
      try InterruptHandler.install(signal)
    }
    if configuration.watchdog?.isManual == false { try watchdog?.start() }
    if !isolated.isEmpty { HazardReclaimer.shared.expectIsolatedCPUs() }
    unsafe core.line.coordinator.store(
      UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()), ordering: .relaxed)
  }

  deinit {
    watchdog?.stop()
    HazardReclaimer.shared.admit(configuration.isolatedProcessors)
  }

  // MARK: What it consists of

  /// The CPUs that nobody may disturb.
  public var isolated: CPUMask { configuration.isolated }

  /// The CPUs that change shared state.
  public var housekeeping: CPUMask { configuration.housekeeping }

  /// All CPUs.
  public var cpus: CPUMask { configuration.isolated.union(configuration.housekeeping) }

  /// Where a CPU is. The answer may be old when the caller looks at it.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: user, kernel, guest, idle or offline.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func context(
    of cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> CPUContext {
    requireCPU(cpu, file, line)
    // Relaxed — a hint.
    let word = core.slots[cpu].state.word.load(ordering: .relaxed)
    return ContextWord(rawValue: word).context ?? .kernel
  }

  /// The number of the CPU that the calling thread is attached to, of this coordinator; nil if to
  /// none.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var currentCPU: Int? { ownSlot.map(OwnerTransitions.number) }

  // MARK: For scripted tests

  /// Moves the manual clock of a watchdog that has one, and lets it look.
  package func advanceClock(by duration: Duration) {
    watchdog?.advance(by: duration.wholeNanoseconds)
  }

  /// Ends the sleep of a CPU, as a kick would, without giving it anything to do.
  package func wake(_ cpu: Int) {
    core.slots[cpu].call.parker.unpark()
  }

  // MARK: The calling thread

  /// The slot of the calling thread, if it belongs to this coordinator.
  var ownSlot: CPUSlot? {
    guard let slot = CurrentThread.slot else { return nil }
    guard slot.owner.core.load(ordering: .relaxed) == core.base.bits
    else {
      return nil
    }
    return slot
  }

  /// The way of a send by the calling thread, through its own slot where it has one: the library's
  /// own.
  public var path: WorkType.SendPath {
    SendPath(core: core, sender: ownSenderSlot ?? sharedSender)
  }

  /// The sender slot of the calling thread, if it is a CPU of this coordinator.
  @inline(__always)
  var ownSenderSlot: SenderSlot? {
    guard let own = ownSlot,
      // A signal handler must not count where the code that it interrupted may be counting.
      own.owner.special.load(ordering: .relaxed) & OwnerFlags.interrupted == 0,
      let sender = Address(at: own.owner.sender.load(ordering: .relaxed))
    else { return nil }
    return SenderSlot(base: sender, cpus: core.slots.count)
  }

  // MARK: Checks

  func requireCPU(_ cpu: Int, _ file: StaticString, _ line: UInt) {
    core.requireCPU(cpu, CallSite(file, line))
  }

  /// Whether this is the child of a fork, in which the CPUs have no threads.
  var isForked: Bool { core.isForked }

  /// Threads do not survive a fork: what would wait for them throws instead.
  func requireSameProcess() throws(IsolationError) {
    if isForked {
      throw IsolationError(
        .forked, "the process was forked: this coordinator's threads are not in the child")
    }
  }

  /// Traps if the calling thread is inside a handler or a cross call, where it must not wait.
  func requireMayWait(_ action: String, _ file: StaticString, _ line: UInt) {
    CurrentThread.requireMayWait(action, file, line)
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization

/// One half of the demonstration: the load, in one mode, on threads of its own.
final class Experiment: Sendable {
  let mode: Mode
  let coordinator: Coordinator
  let witness: Witness
  let stopSending = StopFlag()
  /// The isolated CPUs, for callbacks that take turns.
  let targets: [Int]
  let housekeepers: Int
  let live: LiveState
  private let works: [WorkType]
  private let contexts: [HandlerContext]
  private let stopIsolated = StopFlag()
  private let failure = Mutex<IsolationError?>(nil)
  private let options: Options
  private let postsGone = Atomic<UInt64>(0)

  /// How often the ages of pending work are looked at.
  static let samplingInterval = Duration.milliseconds(20)
  static let samplesPerProgress = 10
  /// Rings that nothing is recorded into are not made present.
  private static let mostLockedBytes = 256 << 20

  /// Throws what the system refuses, or what is wrong with a filter.
  init(_ mode: Mode, _ options: Options) throws {
    self.mode = mode
    self.options = options
    targets = Array(options.isolated)
    housekeepers = options.housekeeping.count
    let last = options.housekeeping.union(options.isolated).last ?? 0
    witness = Witness(senders: housekeepers, cpus: last + 1)
    // The same interrupter in both modes: what cannot be deferred is a signal in either.
    var configuration = Coordinator.Configuration(
      housekeeping: options.housekeeping, isolated: options.isolated)
    configuration.isolatedInterrupter = .signal
    configuration.traceEvents = HalfTrace.eventsPerRing(options)
    coordinator = try Coordinator(configuration)
    let live = try LiveState(
      coordinator, housekeepers: housekeepers, urgency: mode.urgency, options.broken)
    let contexts = Callback.deferrable.map { [witness] in
      HandlerContext($0, witness, live.handles)
    }
    var works: [Callback: WorkType] = [:]
    // The handler that reads through the cache is the first of its order.
    for context in contexts.reversed() {
      works[context.callback] = try context.register(with: coordinator, options.broken)
    }
    self.works = Callback.deferrable.compactMap { works[$0] }
    self.live = live
    self.contexts = contexts
    // After the registrations: a filter finds functions by their names.
    for event in options.events {
      try coordinator.tracer.start(event.format, filter: event.filter)
    }
  }

  /// Runs the load, and reports.
  func run(_ progress: Progress) throws(IsolationError) -> (report: ModeReport, trace: HalfTrace) {
    try coordinator.keepingOffIsolatedProcessors { () throws(IsolationError) in
      try runHere(progress)
    }
  }

  private func runHere(
    _ progress: Progress
  ) throws(IsolationError) -> (report: ModeReport, trace: HalfTrace) {
    var senders: [CPUThread] = []
    var receivers: [Receiver] = []
    var oldest = Duration.zero
    var threadNames: [Int32: String] = [:]
    var refusal: IsolationError?
    var recording =
      options.asksKernel ? KernelRecording(options, signal: coordinator.signal) : nil
    // Threads that start from here on, and what they allocate, interrupt no loop of memory's sake.
    let quiet = coordinator.quietMemory(.init(mostLockedBytes: Self.mostLockedBytes))
    defer { quiet.undo() }
    do {
      // Receivers first and senders first to go: no send finds nobody.
      for cpu in coordinator.isolated { receivers.append(try launchIsolated(cpu)) }
      for (index, cpu) in coordinator.housekeeping.enumerated() {
        senders.append(try launchHousekeeper(cpu, index))
      }
      recording?.threadsHaveStarted()
      oldest = watch(for: options.duration, progress, &recording)
      // The system knows the names of threads while they run.
      threadNames = coordinator.tracer.snapshot().threadNames
    } catch {
      refusal = error
    }
    stopSending.set()
    for thread in senders { thread.join() }
    stopIsolated.set()
    for receiver in receivers { receiver.thread.join() }
    let kernel = recording.take()?.finish()
    progress.clear()
    if let error = refusal ?? failure.withLock({ $0 }) { throw error }
    witness.checkAll()
    let trace = HalfTrace(snapshot: coordinator.tracer.snapshot(), threadNames: threadNames)
    var report = report(oldest, receivers, IPICounts(trace, options), kernel)
    report.quietRefusals = quiet.report.refusals.map(\.description)
    try live.close()
    coordinator.close()
    return (report, trace)
  }

  /// Posts a plain call: a function and a context, which no bit stands for. Returns the CPUs that
  /// have it in their queues.
  func post(to mask: CPUMask) -> CPUMask {
    let report = unsafe coordinator.post(
      on: mask, context: witness.context(of: .plainCall), isInterruptSafe: true
    ) { unsafe WitnessRow.observe($0, on: $1) }
    postsGone.wrappingAdd(UInt64(report[.gone].count), ordering: .relaxed)
    return report[.queued]
  }

  func work(_ callback: Callback) -> WorkType { works[callback.rawValue] }

  /// All types of the callback's name: the witness's, and the one that is in earnest.
  private func works(of callback: Callback) -> [WorkType] {
    [work(callback)] + (live.work(callback).map { [$0] } ?? [])
  }

  /// Keeps the first error of a thread, to be thrown when all have ended.
  func fail(_ error: IsolationError) { failure.withLock { $0 = $0 ?? error } }

  // MARK: -

  /// An isolated thread, and where it leaves its report. One place per thread: they do not wait for
  /// each other.
  private struct Receiver {
    let thread: CPUThread
    let report: IsolatedLoop.Result
  }

  private func launchIsolated(_ cpu: Int) throws(IsolationError) -> Receiver {
    var options = CPUThread.Options()
    options.name = isBroken ? "broken/\(cpu)" : "isolated/\(cpu)"
    let loop = IsolatedLoop(witness: witness, live: live, stop: stopIsolated)
    let result = IsolatedLoop.Result()
    let thread = try coordinator.launch(on: cpu, options: options) { local in
      result.set(loop.run(local))
    }
    return Receiver(thread: thread, report: result)
  }

  private func launchHousekeeper(_ cpu: Int, _ index: Int) throws(IsolationError) -> CPUThread {
    var options = CPUThread.Options()
    options.name = "churn/\(cpu)"
    let churn = Churn(experiment: self, index: index)
    return try coordinator.launch(on: cpu, options: options) { local in churn.run(local) }
  }

  private var isBroken: Bool { options.broken != nil }

  /// Waits, and returns the greatest age of the witness's pending work that it met. Something
  /// illegal ends it.
  private func watch(
    for duration: Duration, _ progress: Progress, _ recording: inout KernelRecording?
  ) -> Duration {
    let begin = ContinuousClock.now
    var oldest = Duration.zero
    var samples = 0
    while true {
      let passed = begin.duration(to: .now)
      if passed >= duration || live.legality.violations > 0 { return oldest }
      if samples % Self.samplesPerProgress == 0 {
        progress.show("\(mode.rawValue)", passed, of: duration)
      }
      samples += 1
      recording?.drainIfDue()
      let statistics = coordinator.statistics()
      for cpu in targets {
        for work in works { oldest = max(oldest, statistics[work, on: cpu].oldestPending ?? .zero) }
      }
      usleep(UInt32(min(Self.samplingInterval, duration - passed) / .microseconds(1)) + 1)
    }
  }

  private func report(
    _ oldest: Duration, _ receivers: [Receiver], _ traced: IPICounts, _ kernel: KernelAccount?
  ) -> ModeReport {
    let statistics = coordinator.statistics()
    var callbacks = Callback.deferrable.map { callback in
      var counts = CallbackCounts(callback)
      for work in works(of: callback) {
        for cpu in targets { counts.add(statistics[work, on: cpu]) }
      }
      return counts
    }
    var calls = CallbackCounts(.plainCall)
    for cpu in targets { calls.add(statistics[cpu: cpu].calls) }
    calls.gone += postsGone.load(ordering: .relaxed)
    callbacks.append(calls)
    let outcomes = receivers.compactMap(\.report.value)
    let legality = LegalityReport(
      violations: live.legality.violations, first: live.legality.first?.description,
      checked: outcomes.reduce(into: Checked()) { $0 += $1.checked }, refusal: live.refusal)
    return ModeReport(
      mode: mode, broken: options.broken, callbacks: callbacks, lost: witness.lost,
      legality: legality, oldestPending: oldest, noise: outcomes.map(\.noise),
      transitions: targets.reduce(0) { $0 + statistics[cpu: $1].transitions }, traced: traced,
      kernel: kernel)
  }
}

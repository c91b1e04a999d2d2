// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension Coordinator {
  /// What a coordinator is made of.
  ///
  ///     let coordinator = try Coordinator(
  ///       .init(housekeeping: [0], isolated: [1, 2], isolatedInterrupter: .signal))
  ///
  /// CPUs are numbered densely from 0. A number that is in neither mask is a gap: nobody can attach
  /// to it, and it costs no memory. A CPU costs one page or two until a thread attaches.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: as ``CPUMask``
  public struct Configuration: Sendable {
    /// The CPUs that change shared state. They stay in kernel, promise nothing, and pay nothing.
    public var housekeeping: CPUMask
    /// The CPUs that nobody may disturb.
    public var isolated: CPUMask
    /// Which processor the thread of a CPU is bound to.
    public var pinning: Pinning
    /// How isolated CPUs are kicked: `.poll`, unless the loop cannot poll.
    public var isolatedInterrupter: Interrupter
    /// How housekeeping CPUs are kicked.
    public var housekeepingInterrupter: Interrupter
    /// The signal of the `.signal` interrupter: nil takes the third real-time signal. It must have
    /// no other handler, and be none that the processor raises for a fault.
    public var interruptSignal: Int32?
    /// The thread that watches ages and stalls; nil runs none, and leaves ages unmeasured.
    public var watchdog: Watchdog?
    /// Whether drains are timed, for `Statistics.CPU.longestDrain`: two cycle counter reads per
    /// drain, about 20 ns.
    public var timesDrains: Bool

    /// How many of its last events each ring of the trace keeps, at most `maximumTraceEvents`;
    /// rounded up to a power of two, at least 2. An event takes 64 bytes of memory, which is not
    /// touched before the first.
    public var traceEvents: Int

    /// How many events a ring of the trace can keep: a gibibyte of them.
    public static let maximumTraceEvents = 1 << 24

    /// A coordinator of these CPUs; everything else has a default.
    ///
    /// - Parameters:
    ///   - housekeeping: the CPUs that change shared state.
    ///   - isolated: the CPUs that nobody may disturb; none of the housekeeping ones.
    ///   - pinning: which processor the thread of a CPU is bound to.
    ///   - isolatedInterrupter: how isolated CPUs are kicked.
    ///   - housekeepingInterrupter: how housekeeping CPUs are kicked.
    ///   - interruptSignal: the signal of the `.signal` interrupter; nil takes the third real-time
    ///     signal.
    ///   - watchdog: what measures ages and reports stalls; nil runs none.
    ///   - timesDrains: whether drains are timed, which costs about 20 ns each.
    ///   - traceEvents: how many of its last events each ring of the trace keeps, 0 to
    ///     `maximumTraceEvents`, 64 bytes each; rounded up to a power of two.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(
      housekeeping: CPUMask, isolated: CPUMask, pinning: Pinning = .wherePossible,
      isolatedInterrupter: Interrupter = .poll, housekeepingInterrupter: Interrupter = .park,
      interruptSignal: Int32? = nil, watchdog: Watchdog? = Watchdog(), timesDrains: Bool = false,
      traceEvents: Int = 4096
    ) {
      self.housekeeping = housekeeping
      self.isolated = isolated
      self.pinning = pinning
      self.isolatedInterrupter = isolatedInterrupter
      self.housekeepingInterrupter = housekeepingInterrupter
      self.interruptSignal = interruptSignal
      self.watchdog = watchdog
      self.timesDrains = timesDrains
      self.traceEvents = traceEvents
    }

    /// Which processor the thread of a CPU is bound to.
    public enum Pinning: Hashable, Sendable {
      /// None: the scheduler decides, among the processors that the process was given.
      case none
      /// For CPU n the n-th of the processors that the process was given, counted from 0, unless
      /// there are not as many or the system refuses it. Inside `taskset` or a container these are
      /// not the machine's first ones.
      case wherePossible
      /// Processor n for CPU n, or an error.
      case sameNumber
      /// The processors by CPU; a CPU that is not in the map is not bound. A refusal is an error.
      case processors([Int: Int])
    }

    /// The thread that keeps the coarse clock, measures ages, escalates and reports.
    public struct Watchdog: Sendable {
      /// How often it looks at the CPUs that have a thread while something is pending there or runs;
      /// also the resolution of ages. Where there is nothing to see it looks as often as takes less
      /// than a thousandth of a processor, if that is seldomer: a pending bit is then seen first after
      /// up to 2 s, half of the stall threshold, and an eighth of the least maximum age, whichever is
      /// least.
      public var interval: Duration
      /// After how long something that should have happened is reported. The kernel's figure for
      /// cross calls.
      public var stallThreshold: Duration
      /// What is told. It runs on the watchdog's thread. Nil writes one line to standard error.
      public var report: (@Sendable (StallReport) -> Void)?
      /// Whether a test moves the clock, in place of a thread that reads it.
      package var isManual = false

      /// A watchdog; everything has a default.
      ///
      ///     configuration.watchdog = .init(stallThreshold: .milliseconds(300)) { log("\($0)") }
      ///
      /// - Parameters:
      ///   - interval: how often it looks; positive. Ages are known to within this.
      ///   - stallThreshold: after how long what should have happened is reported; positive.
      ///   - report: gets each report, on the watchdog's thread; nil writes one line to standard
      ///     error.
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public init(
        interval: Duration = .milliseconds(5), stallThreshold: Duration = .seconds(5),
        report: (@Sendable (StallReport) -> Void)? = nil
      ) {
        self.interval = interval
        self.stallThreshold = stallThreshold
        self.report = report
      }
    }

    var cpuCount: Int { max(housekeeping.last ?? -1, isolated.last ?? -1) + 1 }

    func interrupter(of cpu: Int) -> Interrupter {
      isolated.contains(cpu) ? isolatedInterrupter : housekeepingInterrupter
    }

    func contains(_ cpu: Int) -> Bool { housekeeping.contains(cpu) || isolated.contains(cpu) }

    /// The processor that the thread of a CPU is to be bound to.
    func processor(of cpu: Int) -> Int32? {
      switch pinning {
      case .none: nil
      case .wherePossible: Array(ProcessorSet.given).dropFirst(cpu).first
      case .sameNumber: Int32(clamping: cpu)
      case .processors(let map): map[cpu].map { Int32(clamping: $0) }
      }
    }

    /// What the library's own threads keep off.
    var isolatedProcessors: ProcessorSet {
      // As `processor(of:)`, which asks for what was given each time.
      if pinning == .wherePossible {
        return ProcessorSet(
          ProcessorSet.given.enumerated().lazy.filter { isolated.contains($0.offset) }
            .map(\.element))
      }
      return ProcessorSet(isolated.compactMap { processor(of: $0) })
    }

    func validate() throws(IsolationError) {
      if housekeeping.isEmpty && isolated.isEmpty {
        throw IsolationError(.invalidConfiguration, "a coordinator needs at least one CPU")
      }
      let both = housekeeping.intersection(isolated)
      if !both.isEmpty {
        throw IsolationError(
          .invalidConfiguration, "CPUs \(both) are both housekeeping and isolated")
      }
      if let watchdog, watchdog.interval <= .zero || watchdog.stallThreshold <= .zero {
        throw IsolationError(
          .invalidConfiguration, "the watchdog's interval and stall threshold have to be positive")
      }
      if let interruptSignal, cpi_signal_is_fault(interruptSignal) {
        throw IsolationError(
          .invalidConfiguration,
          "the interrupt signal cannot be \(interruptSignal): processors raise that for faults")
      }
      if !(0...Self.maximumTraceEvents).contains(traceEvents) {
        throw IsolationError(
          .invalidConfiguration,
          "a trace ring cannot keep \(traceEvents) events: it takes 0 to \(Self.maximumTraceEvents)"
        )
      }
      if case .processors(let map) = pinning { try validate(map) }
    }

    private func validate(_ processors: [Int: Int]) throws(IsolationError) {
      let limit = Int(cpi_configured_processors())
      var loops: [Int: Int] = [:]
      for (cpu, processor) in processors.sorted(by: { $0.key < $1.key }) {
        guard contains(cpu) else {
          throw IsolationError(
            .invalidConfiguration, "the map of processors names CPU \(cpu), which there is not")
        }
        guard (0..<limit).contains(processor) else {
          throw IsolationError(
            .invalidConfiguration,
            "CPU \(cpu) cannot be on processor \(processor): this machine has 0 to \(limit - 1)")
        }
        guard isolated.contains(cpu) else { continue }
        if let other = loops.updateValue(cpu, forKey: processor) {
          throw IsolationError(
            .invalidConfiguration,
            "CPUs \(other) and \(cpu) are both isolated, and cannot both be on processor \(processor)"
          )
        }
      }
    }
  }
}

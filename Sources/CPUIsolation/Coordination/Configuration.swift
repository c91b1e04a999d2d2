// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// What a coordinator is made of.
  ///
  ///     var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
  ///     configuration.isolatedInterrupter = .signal
  ///     let coordinator = try Coordinator(configuration)
  ///
  /// CPUs are numbered densely from 0. A number that is in neither mask is a gap: nobody can attach
  /// to it.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: as `CPUMask`
  public struct Configuration: Sendable {
    /// The CPUs that change shared state. They stay in kernel, promise nothing, and pay nothing.
    public var housekeeping: CPUMask
    /// The CPUs that nobody may disturb.
    public var isolated: CPUMask
    /// Which processor the thread of a CPU is bound to.
    public var pinning = Pinning.wherePossible
    /// How isolated CPUs are kicked: `.poll`, unless the loop cannot poll.
    public var isolatedInterrupter = Interrupter.poll
    /// How housekeeping CPUs are kicked.
    public var housekeepingInterrupter = Interrupter.park
    /// The signal of the `.signal` interrupter: nil takes the third real-time signal. It must have
    /// no other handler.
    public var interruptSignal: Int32? = nil
    /// The thread that watches ages and stalls; nil runs none, and leaves ages unmeasured.
    public var watchdog: Watchdog? = Watchdog()
    /// Whether drains are timed, for `Statistics.CPU.longestDrain`: two cycle counter reads per
    /// drain, about 20 ns.
    public var timesDrains = false

    /// How many of its last events each ring of the trace keeps; rounded up to a power of two, at
    /// least 2. An event takes 64 bytes of memory, which is not touched before the first.
    public var traceEvents = 4096

    /// A coordinator of these CPUs; everything else has a default.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(housekeeping: CPUMask, isolated: CPUMask) {
      self.housekeeping = housekeeping
      self.isolated = isolated
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
      /// How often it looks; also the resolution of ages.
      public var interval = Duration.milliseconds(5)
      /// After how long something that should have happened is reported. The kernel's figure for
      /// cross calls.
      public var stallThreshold = Duration.seconds(5)
      /// What is told. It runs on the watchdog's thread. Nil writes one line to standard error.
      public var report: (@Sendable (StallReport) -> Void)? = nil
      /// Whether a test moves the clock, in place of a thread that reads it.
      package var isManual = false

      /// The defaults.
      ///
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public init() {}
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
      ProcessorSet(isolated.compactMap { processor(of: $0) })
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
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// An isolated loop's own view of what was taken from it, in the terms of Linux's osnoise tracer.
///
///     var meter = NoiseMeter()
///     while running {
///       meter.sample()  // one cycle counter read
///       step()
///     }
///     print(meter.report)
///
/// A gap between two samples that is longer than the threshold is noise: the loop was not running.
/// Gaps that the loop knows about are attributed by `sample(after:)`; the rest is the system's:
/// interrupts, other threads, the hypervisor. `nameCauses` tells these apart.
///
/// Do not use it to prove that nothing was sent: a virtual machine is noisy by itself. Count kicks
/// for that.
///
/// - Progress: wait-free
/// - Context: one thread
/// - Allocates: never
public struct NoiseMeter: Sendable {
  private let threshold: UInt64
  private var begun: UInt64
  private var last: UInt64
  private var noise: UInt64 = 0
  private var maximum: UInt64 = 0
  private var samples: UInt64 = 0
  private var counts = [4 of UInt64](repeating: 0)
  private var witnesses: Witnesses? = nil

  /// What a gap is due to, as far as the library knows.
  public enum Source: Int, CaseIterable, Sendable {
    /// The loop served a kick.
    case kick
    /// The loop entered kernel and drained.
    case drain
    /// A signal handler ran.
    case signal
    /// Nobody knows: an interrupt, another thread, the hypervisor.
    case unknown
  }

  /// A meter that counts gaps longer than `threshold`, and begins now.
  ///
  /// - Parameter threshold: the longest gap that is no noise; a loop's own time between two samples
  ///   has to be below it.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init(threshold: Duration = .microseconds(1)) {
    self.threshold = CycleClock.cycles(of: threshold)
    begun = CycleClock.now
    last = begun
  }

  /// Looks at the cycle counter.
  ///
  /// - Parameter source: what was just done, to which a gap is put down.
  /// - Progress: wait-free
  /// - Context: one thread
  /// - Allocates: never
  @inline(__always)
  public mutating func sample(after source: Source = .unknown) {
    let now = CycleClock.now
    let gap = now &- last
    last = now
    samples &+= 1
    if gap > threshold { note(gap, source) }
  }

  /// Not inlined: a turn without a gap would save the registers that this needs.
  @inline(never)
  private mutating func note(_ gap: UInt64, _ source: Source) {
    noise &+= gap
    maximum = max(maximum, gap)
    counts[(witnesses == nil ? source : ask(gap, source)).rawValue] &+= 1
  }

  /// Asks what a gap was due to, and returns the source that it is counted under.
  private mutating func ask(_ gap: UInt64, _ source: Source) -> Source {
    let isForeign = witnesses?.note(gap, isKnown: source != .unknown) ?? false
    // What asking took is no noise.
    last = CycleClock.now
    return isForeign ? .unknown : source
  }

  /// Names the causes of gaps from now on: each that `sample` puts down to `unknown` is counted in
  /// `report.causes`.
  ///
  ///     meter.nameCauses()
  ///     while running {
  ///       meter.sample()  // costs what it did: questions are asked after a gap alone
  ///       step()
  ///     }
  ///     print(meter.report.causes?.preempted ?? 0, "times another thread had the processor")
  ///
  /// After a gap one system call asks what the kernel has counted for the thread, which takes less than
  /// a microsecond. What happened since the last gap without being a gap itself, such as a short page
  /// fault, is put down to the next one. A gap in which another thread had the processor is
  /// `preempted`, and counted as `unknown`, even where the loop has served a kick or drained in it.
  ///
  /// - Progress: wait-free
  /// - Context: the thread that samples
  /// - Allocates: never
  /// - Source: `getrusage(2)`; restartable sequences, `linux/rseq.h`.
  public mutating func nameCauses() {
    witnesses = Witnesses()
    last = CycleClock.now
  }

  /// Begins again from now.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public mutating func reset() {
    // Not by way of a new meter: a threshold that is turned into a duration and back loses a cycle.
    begun = CycleClock.now
    last = begun
    noise = 0
    maximum = 0
    samples = 0
    counts = [4 of UInt64](repeating: 0)
    if witnesses != nil {
      witnesses?.reset()
      begun = CycleClock.now
      last = begun
    }
  }

  /// What has been seen so far.
  public var report: NoiseMeter.Report {
    NoiseMeter.Report(
      runtime: CycleClock.duration(ofCycles: last &- begun),
      noise: CycleClock.duration(ofCycles: noise),
      maximumSingle: CycleClock.duration(ofCycles: maximum), samples: samples,
      kicks: counts[0], drains: counts[1], signals: counts[2], unknown: counts[3],
      causes: witnesses?.causes)
  }
}

extension NoiseMeter {
  /// What a ``NoiseMeter`` saw, in the fields and order of the osnoise tracer.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Report: Hashable, Sendable {
    /// How long the meter ran.
    public let runtime: Duration
    /// The sum of all gaps above the threshold.
    public let noise: Duration
    /// The longest gap.
    public let maximumSingle: Duration
    /// How often the loop looked.
    public let samples: UInt64
    /// Gaps in which the loop served a kick.
    public let kicks: UInt64
    /// Gaps in which it drained.
    public let drains: UInt64
    /// Gaps in which a signal handler ran.
    public let signals: UInt64
    /// Gaps that nobody explains: the system's.
    public let unknown: UInt64
    /// What these were due to, since causes are named; nil if they are not.
    public let causes: Causes?

    /// The share of the time that was the loop's own, in percent.
    public var percentAvailable: Double {
      runtime == .zero ? 100 : 100 * (1 - noise / runtime)
    }
  }
}

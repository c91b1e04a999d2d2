// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension NoiseMeter {
  /// How many gaps each cause had, among those that were put down to `unknown` while causes were named.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Causes: Hashable, Sendable {
    /// Gaps in which another thread had the processor.
    public internal(set) var preempted: UInt64 = 0
    /// Gaps in which the loop waited in a system call.
    public internal(set) var slept: UInt64 = 0
    /// Gaps in which the loop touched memory that was not there.
    public internal(set) var faulted: UInt64 = 0
    /// Gaps in which a signal was delivered, or the thread was moved to another processor; nil where the
    /// C library has registered no area for restartable sequences: then they are among
    /// `interruptOrHost`.
    public internal(set) var signalled: UInt64?
    /// Gaps in which a tick of the kernel was due; nil where the system does not say how long it is.
    public internal(set) var tick: UInt64?
    /// The rest: devices, interrupts of other processors, the hypervisor.
    public internal(set) var interruptOrHost: UInt64 = 0
  }

  /// What is asked about a gap, on the thread whose gap it is.
  ///
  /// The kernel tells what it counts for the thread: preemptions, sleeps and faults. A restartable
  /// sequence that is announced and never entered is taken back by the kernel when it has delivered a
  /// signal, and now and then after a tick. The tick is due at multiples of its length on
  /// CLOCK_MONOTONIC.
  struct Witnesses: Sendable {
    private(set) var causes: Causes
    private var usage: cpi_usage
    private let tick: UInt64
    /// When the announcement was last taken back after a tick.
    private var lastRetraction: UInt64 = 0
    /// How long gaps are that were named ticks, about.
    private var usualTick: UInt64 = 0

    /// - Parameter tick: the time between two ticks in nanoseconds; 0 where it is not known.
    init(tick: UInt64 = cpi_tick_nanoseconds()) {
      self.tick = tick
      usage = Self.currentUsage()
      causes = Causes(signalled: cpi_watch_preemption() ? 0 : nil, tick: tick > 0 ? 0 : nil)
    }

    /// Forgets what happened so far.
    mutating func reset() {
      causes = Causes(signalled: cpi_watch_preemption() ? 0 : nil, tick: tick > 0 ? 0 : nil)
      usage = Self.currentUsage()
    }

    /// Asks about a gap of so many cycles that ends now, and counts it unless the loop knows its source.
    ///
    /// - Returns: whether another thread had the processor, whatever the loop knows.
    mutating func note(_ gap: UInt64, isKnown: Bool) -> Bool {
      // First: the system call below has nothing to do with the gap.
      let wasTakenBack = cpi_was_preempted()
      let now = cpi_monotonic_nanoseconds()
      let usage = Self.currentUsage()
      let isForeign = usage.preemptions != self.usage.preemptions
      if isForeign || !isKnown {
        let nanoseconds = CycleClock.duration(ofCycles: gap).wholeNanoseconds
        count(usage, wasTakenBack, end: now, length: nanoseconds)
      }
      self.usage = usage
      _ = cpi_watch_preemption()
      return isForeign
    }

    private mutating func count(
      _ usage: cpi_usage, _ wasTakenBack: Bool, end: UInt64, length: UInt64
    ) {
      if usage.preemptions != self.usage.preemptions {
        causes.preempted &+= 1
      } else if usage.sleeps != self.usage.sleeps {
        causes.slept &+= 1
      } else if usage.faults != self.usage.faults {
        causes.faulted &+= 1
      } else if wasTakenBack, let signalled = causes.signalled,
        !isRetraction(end: end, length: length)
      {
        causes.signalled = signalled &+ 1
      } else if let ticks = causes.tick, resemblesTick(end: end, length: length) {
        causes.tick = ticks &+ 1
      } else {
        causes.interruptOrHost &+= 1
      }
    }

    /// Whether an announcement that was taken back in a gap was so by a tick. Since Linux 6.4 a tick has
    /// one thread of each process look through the numbers that its threads have by processor, at most
    /// every 100 ms, on its way back to the program.
    mutating func isRetraction(end: UInt64, length: UInt64) -> Bool {
      guard Self.isTick(end: end, length: length, tick: tick), end &- lastRetraction > 90_000_000
      else { return false }
      lastRetraction = end
      return true
    }

    /// Whether a gap is a tick, by its time and by its length: gaps that the host makes come at any time,
    /// and where they are many they are short.
    mutating func resemblesTick(end: UInt64, length: UInt64) -> Bool {
      guard Self.isTick(end: end, length: length, tick: tick) else { return false }
      guard length >= usualTick / 4 else {
        // Ticks may have become shorter.
        usualTick -= usualTick / 64
        return false
      }
      usualTick = usualTick - usualTick / 8 + length / 8
      return true
    }

    /// Whether a gap is due to a tick: one was due in it, or up to 50 µs before it. Of gaps that are long
    /// beside the distance of two ticks nothing can be said: one is due in most of them.
    static func isTick(end: UInt64, length: UInt64, tick: UInt64) -> Bool {
      guard tick > 0, length <= tick / 50, end >= length else { return false }
      let lateness = min(50_000, tick / 64)
      return end % tick <= length + lateness
    }

    private static func currentUsage() -> cpi_usage {
      var usage = cpi_usage()
      // Safety: the C function fills it. Refused it would be all zeroes, each time.
      _ = unsafe cpi_thread_usage(&usage)
      return usage
    }
  }
}

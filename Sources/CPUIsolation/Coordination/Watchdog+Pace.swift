// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension WatchdogService {
  /// How long its thread sleeps between two looks: the interval while there is something to see, else as
  /// long as it takes for the looks to cost less than a thousandth of a processor, whatever a look or a
  /// wake-up costs here and however many CPUs have a thread.
  struct Pace {
    /// In nanoseconds: of the last pause, 0 before the first.
    private(set) var pause: UInt64 = 0
    /// The processor time of its thread at the end of the last look.
    private var used: UInt64 = 0
    /// How many times as long as a look took it sleeps. A thousand would do if the kernel charged a
    /// thread with all that its wake-up costs.
    static let ratio: UInt64 = 1_250

    /// A look is over: `used` is the processor time of the thread since it began.
    mutating func lookEnded(
      used now: UInt64, isQuiet: Bool, _ interval: Duration, atMost longest: UInt64
    ) {
      // Where the system has no such clock every look seems free.
      let cost = now > used ? now - used : 0
      used = now
      let (wanted, isTooLong) = cost.multipliedReportingOverflow(by: Self.ratio)
      let interval = interval.wholeNanoseconds
      pause = isQuiet ? max(interval, min(isTooLong ? .max : wanted, longest)) : interval
    }
  }

  /// How long it may sleep where there is nothing to see: stalls are reported, and types with a maximum
  /// age looked after, about when they should be.
  var longestPause: UInt64 {
    let half = settings.stallThreshold.wholeNanoseconds / 2
    var longest = min(half, 2_000_000_000)
    registry.withLock { state in
      var live = core.line.live.load(ordering: .relaxed)
      while live != 0 {
        if let age = state.registrations[live.trailingZeroBitCount]?.options.maximumAge {
          longest = min(longest, age.wholeNanoseconds / 8)
        }
        live &= live &- 1
      }
    }
    return longest
  }
}

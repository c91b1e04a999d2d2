// SPDX-License-Identifier: Apache-2.0

extension InterferenceLedger {
  /// What a ledger counts. Times are in nanoseconds.
  ///
  /// - Source: the labels are those of `/proc/interrupts` on x86-64.
  public enum Column: String, CaseIterable, Hashable, Sendable {
    /// Interrupts that flushed translations of this process or another: `TLB`. Unmapping,
    /// `mprotect` and copies on write cause them.
    case tlbShootdowns
    /// Function calls by other processors that were not shootdowns: `CAL` less `TLB`. `membarrier`,
    /// patched kernel text and perf counters cause them.
    case functionCalls
    /// Rescheduling interrupts: `RES`, less the signals that the coordinator sent itself. At least
    /// so many: a signal to a thread that is in a system call needs no interrupt.
    case rescheduling
    /// The tick, and timers that are due: `LOC`.
    case timer
    /// Interrupts of devices, all together.
    case deviceInterrupts
    /// Every other kind of interrupt, all together.
    case otherInterrupts
    /// How often the processor was taken from the thread for another one.
    case preemptions
    /// How often the thread gave it away: it slept, or waited for something.
    case sleeps
    /// How long the thread wanted to run and could not.
    case timeAway
    /// How long the hypervisor ran something else on the processor, as far as it says so, in steps
    /// of 10 ms.
    case stolenTime
    /// Page faults of the thread that needed no device.
    case minorFaults
    /// Page faults of the thread that waited for a device.
    case majorFaults
    /// Kicks that the coordinator sent to the CPU, by whatever means.
    case kicks

    /// Whether the column is a time, in nanoseconds, and not a number of events.
    public var isTime: Bool { self == .timeAway || self == .stolenTime }

    /// The position in a row.
    var index: Int { Self.allCases.firstIndex(of: self)! }

    /// The name of the column as a metric.
    var metric: String {
      let words = rawValue.reduce(into: "") { text, letter in
        text += letter.isUppercase ? "_\(letter.lowercased())" : "\(letter)"
      }
      return "cpu_isolation_\(words)_\(isTime ? "nanoseconds" : "total")"
    }
  }
}

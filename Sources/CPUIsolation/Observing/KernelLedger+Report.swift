// SPDX-License-Identifier: Apache-2.0

extension KernelLedger {
  /// One interrupt that the kernel sent to a processor.
  public struct Entry: Hashable, Sendable, CustomStringConvertible {
    /// The processor that was interrupted.
    public let processor: Int
    /// The thread that sent it: it ran when the kernel decided to, and need not be the cause.
    public let thread: Int32
    /// The name of that thread.
    public let threadName: String
    /// The process of that thread; nil where the kernel has forgotten it.
    public let process: Int32?
    /// What it was sent for: the kernel function that it calls there, such as `flush_tlb_func`, or
    /// `rescheduling`.
    public let callback: String
    /// Where in the kernel it was sent: a function and an offset.
    public let callSite: String
    /// When, on CLOCK_MONOTONIC.
    public let moment: Duration
    /// Whether it carried the process's own signal.
    public internal(set) var isOwnSignal = false
    /// Whether the thread was handling an interrupt when the kernel sent it: a timer that was due, or what the
    /// kernel does afterwards, such as moving threads. Then the thread has nothing to do with it.
    public internal(set) var isFromInterrupt = false

    /// The entry as a line.
    public var description: String {
      let owner = process.map { "thread \(thread) of \($0)" } ?? "thread \(thread)"
      return "\(threadName) (\(owner)) interrupted processor \(processor): \(callback)"
        + "\(isOwnSignal ? ", our signal" : isFromInterrupt ? ", inside an interrupt" : "")"
        + ", from \(callSite)"
    }
  }

  /// What was recorded in one interval.
  public struct Report: Sendable {
    /// The interrupts, in their order.
    public internal(set) var entries: [Entry] = []
    /// The number of this process, as entries have it; nil where that is not known, as in a PID namespace
    /// whose trace does not show this process's own mark.
    public internal(set) var process: Int32?
    /// How often this process sent the signal to each of its threads, by the kernel's count and under the
    /// kernel's numbers, which in a PID namespace are others than the threads' own; nil where the process
    /// is not known.
    public internal(set) var signals: [Int32: UInt64]?
    /// Events for which there was no room, of whatever kind: where this is not 0, the entries are a
    /// lower limit.
    public internal(set) var lost: UInt64 = 0
    /// Lines of the trace that were not understood.
    public internal(set) var unknown: UInt64 = 0

    /// How many interrupts this process sent, by callback; nil where it is not known which are its own.
    public var ownCounts: [String: Int]? { process.map { counts(of: $0) } }

    /// How many interrupts there were of each callback, those of one process or of all.
    ///
    /// - Parameter process: the number of a process; nil is all of them.
    /// - Returns: the numbers, by the name of the kernel's callback.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: yes
    public func counts(of process: Int32? = nil) -> [String: Int] {
      entries.reduce(into: [:]) { counts, entry in
        if process == nil || entry.process == process { counts[entry.callback, default: 0] += 1 }
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What the kernel tells of one half: every interrupt that it sent to the processors of isolated
/// CPUs, by what it was for and by who sent it.
struct KernelAccount: Equatable, Sendable {
  /// Interrupts that are counted together.
  struct Kind: Hashable, Sendable {
    /// The kernel's function, or `rescheduling`.
    var callback: String
    /// The kernel's function that sent them.
    var callSite: String
    /// The name of the thread that sent them.
    var sender: String
    var origin: Origin
    /// Whether they carried a signal of the library.
    var isOurSignal = false
    /// Whether an interrupt had stopped the sender, which has nothing to do with them.
    var isFromInterrupt = false
  }

  /// Whose thread a sender is.
  enum Origin: String, Sendable {
    case own
    case other
    /// The kernel has forgotten the thread.
    case unknown
  }

  /// Those that came before every thread had started, and those that came after it.
  struct Count: Equatable, Sendable {
    var setUp = 0
    var run = 0
    var total: Int { setUp + run }
  }

  /// The processors of isolated CPUs.
  var processors: CPUMask
  /// Why there is no account, in a sentence; nil if there is one.
  var refusal: String?
  /// Whether the kernel's number of this process is not known, as in some containers: then nothing is
  /// known to be its own.
  var isAnonymous = false
  var kinds: [Kind: Count] = [:]
  /// The signals that this process sent to its own threads.
  var signals: UInt64 = 0
  /// Events for which the kernel had no room, and lines that were not understood.
  var lost: UInt64 = 0
  var unknown: UInt64 = 0

  init(processors: CPUMask, refusal: String? = nil) {
    self.processors = processors
    self.refusal = refusal
  }

  /// Adds what was recorded, in a process whose threads had all started at this moment of
  /// CLOCK_MONOTONIC.
  mutating func add(_ report: KernelLedger.Report, started: Duration) {
    if report.process == nil { isAnonymous = true }
    for entry in report.entries {
      let origin: Origin =
        switch entry.process {
        // The idle thread belongs to no process, and so the kernel knows of none.
        case nil: entry.thread == 0 ? .other : .unknown
        case report.process: .own
        default: .other
        }
      let kind = Kind(
        callback: entry.callback, callSite: String(entry.callSite.prefix { $0 != "+" }),
        sender: entry.threadName, origin: origin, isOurSignal: entry.isOwnSignal,
        isFromInterrupt: entry.isFromInterrupt)
      if entry.moment < started {
        kinds[kind, default: Count()].setUp += 1
      } else {
        kinds[kind, default: Count()].run += 1
      }
    }
    signals += (report.signals ?? [:]).values.reduce(0, +)
    lost += report.lost
    unknown += report.unknown
  }

  // MARK: What it comes to

  /// The kinds, those with most interrupts first.
  var rows: [(kind: Kind, count: Count)] {
    kinds.map { (kind: $0.key, count: $0.value) }.sorted { left, right in
      if left.count.total != right.count.total { return left.count.total > right.count.total }
      return Self.order(left.kind).lexicographicallyPrecedes(Self.order(right.kind))
    }
  }

  private static func order(_ kind: Kind) -> [String] {
    [
      kind.callback, kind.sender, kind.origin.rawValue, kind.isOurSignal ? "0" : "1",
      kind.isFromInterrupt ? "1" : "0", kind.callSite,
    ]
  }

  /// The interrupts that the kernel sent, by callback, and those among them that carried signals.
  var interrupts: Int { kinds.values.reduce(0) { $0 + $1.total } }
  var signalInterrupts: Int {
    kinds.reduce(0) { $0 + ($1.key.isOurSignal ? $1.value.total : 0) }
  }

  /// What this process caused besides its signals, by callback. What is sent from inside an interrupt
  /// has another cause than the thread that was interrupted.
  var ownRest: [String: Count] {
    var rest: [String: Count] = [:]
    for (kind, count) in kinds
    where kind.origin == .own && !kind.isOurSignal && !kind.isFromInterrupt {
      rest[kind.callback, default: Count()].setUp += count.setUp
      rest[kind.callback]?.run += count.run
    }
    return rest
  }

  /// Whether the kernel counts as many signals as the statistics do.
  func agreement(with statistics: UInt64) -> IPICounts.Agreement {
    if let refusal { return .notMade(refusal) }
    if isAnonymous { return .notMade("the kernel's number of this process is not known") }
    if lost > 0 { return .notMade("the kernel had no room for \(lost) events") }
    if unknown > 0 { return .notMade("\(unknown) lines of the kernel's were not understood") }
    if signals == statistics { return .equal }
    return .different(["\(signals) signals by the kernel, \(statistics) by the statistics"])
  }
}

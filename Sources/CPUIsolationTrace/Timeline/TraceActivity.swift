// SPDX-License-Identifier: Apache-2.0

/// What a CPU did for a time, or what happened to it.
enum TraceActivity: UInt8, CaseIterable, Sendable {
  case ipi
  case ipiHandler
  case call
  case tick
  case deviceInterrupt
  case softirq
  case nmi
  case timer
  case workItem
  case thread
  case pageFault
  case noise
  case noiseSample
  case user
  case deferral

  /// Whether it takes time from the thread that a CPU is for.
  var isDisturbance: Bool { self != .user && self != .deferral }

  /// Whether records of it tell how long it took. A page fault and a sent interrupt are moments.
  var hasDuration: Bool { self != .ipi && self != .pageFault }

  /// The heading of a column.
  var title: String {
    switch self {
    case .ipi: "IPIs"
    case .ipiHandler: "IPI handlers"
    case .call: "calls"
    case .tick: "ticks"
    case .deviceInterrupt: "device interrupts"
    case .softirq: "softirqs"
    case .nmi: "NMIs"
    case .timer: "timers"
    case .workItem: "work items"
    case .thread: "other threads"
    case .pageFault: "page faults"
    case .noise: "noise"
    case .noiseSample: "osnoise samples"
    case .user: "user"
    case .deferral: "deferred work"
    }
  }

  /// For viewers that filter by a word.
  var category: String {
    switch self {
    case .ipi: "ipi"
    case .ipiHandler: "ipi_handler"
    case .call: "call"
    case .tick: "tick"
    case .deviceInterrupt: "irq"
    case .softirq: "softirq"
    case .nmi: "nmi"
    case .timer: "timer"
    case .workItem: "workqueue"
    case .thread: "sched"
    case .pageFault: "page_fault"
    case .noise, .noiseSample: "osnoise"
    case .user: "context"
    case .deferral: "deferral"
    }
  }
}

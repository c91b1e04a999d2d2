// SPDX-License-Identifier: Apache-2.0

/// Something that the kernel did on the processor of the loop.
struct KernelEvent {
  /// What a gap may be due to, the first of these first: in a gap with several the meter names the first.
  enum Kind: Int, CaseIterable {
    /// Another thread took the processor.
    case preempted
    /// The loop waited.
    case slept
    /// A page fault of the loop.
    case faulted
    /// A signal to the loop was delivered.
    case signalled
    /// The tick.
    case tick
    /// Any other interrupt, other timers among them, and what the kernel left for after it.
    case interrupt
  }

  var cycle: UInt64
  var kind: Kind

  /// The events that are recorded.
  static let names = [
    "sched/sched_switch", "signal/signal_deliver", "exceptions/page_fault_user",
    "exceptions/page_fault_kernel", "irq/irq_handler_entry", "irq/softirq_entry",
    "irq_vectors/local_timer_entry", "irq_vectors/reschedule_entry",
    "irq_vectors/call_function_entry", "irq_vectors/call_function_single_entry",
    "irq_vectors/irq_work_entry", "timer/hrtimer_expire_entry",
    "csd/csd_function_entry",
  ]

  /// What a line means for the loop's thread; nil for what it did not meet: faults and signals of other threads,
  /// and switches between these.
  init?(_ line: TraceLine, thread: Int32) {
    cycle = line.cycle
    switch line.event {
    case "sched_switch":
      guard line.thread == thread else { return nil }
      kind = line.isPreemption ? .preempted : .slept
    case "signal_deliver":
      guard line.thread == thread else { return nil }
      kind = .signalled
    case "page_fault_user", "page_fault_kernel":
      guard line.thread == thread else { return nil }
      kind = .faulted
    // `tick_nohz_handler`, which was `tick_sched_timer`.
    case "hrtimer_expire_entry": kind = line.fields.contains(" function=tick_") ? .tick : .interrupt
    // The interrupt that brings it is there as well.
    case "csd_function_entry": return nil
    default: kind = .interrupt
    }
  }
}

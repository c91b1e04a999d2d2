// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the records of an event mean for a timeline, and the fields that tell it.
enum EventReading: Sendable {
  case interrupt(target: FieldReader, callsite: FieldReader?, callback: FieldReader?)
  case interrupts(targets: FieldReader, callsite: FieldReader?, callback: FieldReader?)
  case queue(target: FieldReader, function: FieldReader, callsite: FieldReader?)
  case begin(TraceActivity, key: FieldReader?, Name)
  case end(TraceActivity, key: FieldReader?)
  /// The record comes at the end, and says how long it took.
  case took(TraceActivity, Name, duration: FieldReader, longest: FieldReader?)
  case moment(TraceActivity, Name)
  case deferral(target: FieldReader, work: FieldReader, callsite: FieldReader?)
  case drain(target: FieldReader, work: FieldReader, age: FieldReader?)
  case threadSwitch(
    previous: FieldReader, previousName: FieldReader?, next: FieldReader, nextName: FieldReader?)
  case counter(String, cpu: FieldReader?, value: FieldReader)
  case other

  /// What an activity is called.
  enum Name: Sendable {
    case fixed(String)
    case function(FieldReader)
    case softirq(FieldReader)
    /// A device's name, and the number of its interrupt.
    case interrupt(name: FieldReader?, number: FieldReader)
    case noise(String, FieldReader?)
  }

  init(_ format: TraceEventFormat) {
    self = Self.known(format) ?? .other
  }

  /// nil: the event means nothing to a timeline, or lacks a field that it needs.
  private static func known(_ format: TraceEventFormat) -> EventReading? {
    func field(_ name: String) -> FieldReader? { FieldReader(format, name) }
    switch format.system {
    case "ipi":
      // Of the machines that name no vectors.
      if format.name == "ipi_entry" { return .begin(.ipiHandler, key: nil, .fixed("IPI")) }
      if format.name == "ipi_exit" { return .end(.ipiHandler, key: nil) }
      guard let target = FieldReader(format, "cpu", "cpumask") else { return nil }
      let (callsite, callback) = (field("callsite"), field("callback"))
      switch format.name {
      case "ipi_send_cpu":
        return .interrupt(target: target, callsite: callsite, callback: callback)
      case "ipi_send_cpumask":
        return .interrupts(targets: target, callsite: callsite, callback: callback)
      default: return nil
      }
    case "csd":
      guard let function = field("func") else { return nil }
      switch format.name {
      case "csd_queue_cpu":
        guard let target = field("cpu") else { return nil }
        return .queue(target: target, function: function, callsite: field("callsite"))
      case "csd_function_entry": return .begin(.call, key: function, .function(function))
      case "csd_function_exit": return .end(.call, key: function)
      default: return nil
      }
    case "isolation": return isolation(format)
    case "sched":
      guard format.name == "sched_switch", let previous = field("prev_pid"),
        let next = field("next_pid")
      else { return nil }
      return .threadSwitch(
        previous: previous, previousName: field("prev_comm"), next: next,
        nextName: field("next_comm"))
    case "power":
      guard ["cpu_frequency", "cpu_idle"].contains(format.name), let value = field("state") else {
        return nil
      }
      return .counter(format.name, cpu: field("cpu_id"), value: value)
    case "osnoise", "ftrace": return noise(format)
    default: return kernel(format)
    }
  }

  private static func isolation(_ format: TraceEventFormat) -> EventReading? {
    func field(_ name: String) -> FieldReader? { FieldReader(format, name) }
    switch format.name {
    case "context_user_enter": return .begin(.user, key: nil, .fixed("user"))
    case "context_user_exit": return .end(.user, key: nil)
    case "deferred_work_set", "deferred_work_merge", "deferred_work_drain":
      guard let target = field("cpu"), let work = field("work") else { return nil }
      if format.name == "deferred_work_drain" {
        return .drain(target: target, work: work, age: field("age"))
      }
      return .deferral(target: target, work: work, callsite: field("callsite"))
    default: return nil
    }
  }

  private static func noise(_ format: TraceEventFormat) -> EventReading? {
    func field(_ name: String) -> FieldReader? { FieldReader(format, name) }
    if format.system == "ftrace" {
      guard format.name == "osnoise", let noise = field("noise") else { return nil }
      return .took(.noiseSample, .fixed("osnoise"), duration: noise, longest: field("max_sample"))
    }
    guard let duration = field("duration") else { return nil }
    let name: Name? =
      switch format.name {
      case "irq_noise": .noise("interrupt", field("desc"))
      case "softirq_noise": field("vector").map { .softirq($0) }
      case "thread_noise": .noise("thread", field("comm"))
      case "nmi_noise": .fixed("NMI")
      case "sample_threshold": .fixed("hardware, or unknown")
      default: nil
      }
    return name.map { .took(.noise, $0, duration: duration, longest: nil) }
  }

  /// The kernel's pairs of a beginning and an end.
  private static func kernel(_ format: TraceEventFormat) -> EventReading? {
    func field(_ names: String...) -> FieldReader? {
      names.lazy.compactMap { FieldReader(format, $0) }.first
    }
    switch (format.system, format.name) {
    case ("irq", "irq_handler_entry"):
      guard let number = field("irq") else { return nil }
      return .begin(
        .deviceInterrupt, key: number, .interrupt(name: field("name"), number: number))
    case ("irq", "irq_handler_exit"): return .end(.deviceInterrupt, key: field("irq"))
    case ("irq", "softirq_entry"):
      return field("vec").map { .begin(.softirq, key: $0, .softirq($0)) }
    case ("irq", "softirq_exit"): return .end(.softirq, key: field("vec"))
    case ("irq", "tasklet_entry"), ("irq", "tasklet_hi_entry"):
      return field("func").map { .begin(.softirq, key: $0, .function($0)) }
    case ("irq", "tasklet_exit"), ("irq", "tasklet_hi_exit"):
      return field("func").map { .end(.softirq, key: $0) }
    case ("irq_vectors", let name):
      let isEntry = name.hasSuffix("_entry")
      guard isEntry || name.hasSuffix("_exit") else { return nil }
      let vector = String(name.dropLast(isEntry ? 6 : 5))
      let activity = activity(ofVector: vector)
      return isEntry
        ? .begin(activity, key: field("vector"), .fixed(vector))
        : .end(activity, key: field("vector"))
    case ("timer", "hrtimer_expire_entry"):
      guard let timer = field("hrtimer"), let function = field("function") else { return nil }
      return .begin(.timer, key: timer, .function(function))
    case ("timer", "hrtimer_expire_exit"): return .end(.timer, key: field("hrtimer"))
    case ("timer", "timer_expire_entry"):
      guard let timer = field("timer"), let function = field("function") else { return nil }
      return .begin(.timer, key: timer, .function(function))
    case ("timer", "timer_expire_exit"): return .end(.timer, key: field("timer"))
    case ("workqueue", "workqueue_execute_start"):
      guard let work = field("work"), let function = field("function") else { return nil }
      return .begin(.workItem, key: work, .function(function))
    case ("workqueue", "workqueue_execute_end"): return .end(.workItem, key: field("work"))
    case ("nmi", "nmi_handler"):
      guard let handler = field("handler"), let duration = field("delta_ns") else { return nil }
      return .took(.nmi, .function(handler), duration: duration, longest: nil)
    case ("exceptions", "page_fault_user"): return .moment(.pageFault, .fixed("user"))
    case ("exceptions", "page_fault_kernel"): return .moment(.pageFault, .fixed("kernel"))
    case ("context_tracking", "user_enter"): return .begin(.user, key: nil, .fixed("user"))
    case ("context_tracking", "user_exit"): return .end(.user, key: nil)
    default: return nil
    }
  }

  private static func activity(ofVector name: String) -> TraceActivity {
    switch name {
    case "local_timer": .tick
    case "reschedule", "call_function", "call_function_single", "irq_work", "x86_platform_ipi":
      .ipiHandler
    default: .deviceInterrupt
    }
  }

  /// The kernel's softirqs by their numbers.
  static let softirqs = [
    "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU",
  ]
}

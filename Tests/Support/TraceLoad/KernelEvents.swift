// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// Events of a kernel, with its names, fields and print formats.
enum KernelEvents {
  static let localTimerEntry = vector("local_timer_entry", 2001)
  static let localTimerExit = vector("local_timer_exit", 2002)
  static let callFunctionEntry = vector("call_function_single_entry", 2003)
  static let callFunctionExit = vector("call_function_single_exit", 2004)

  static let interruptEntry = TraceEventFormat(
    system: "irq", name: "irq_handler_entry", id: 2005,
    declaring: [.number("irq", as: Int32.self), .text("name", bytes: 16)],
    printFormat: #""irq=%d name=%s", REC->irq, REC->name"#)
  static let interruptExit = TraceEventFormat(
    system: "irq", name: "irq_handler_exit", id: 2006,
    declaring: [.number("irq", as: Int32.self), .number("ret", as: Int32.self)],
    printFormat: #""irq=%d ret=%s", REC->irq, REC->ret ? "handled" : "unhandled""#)
  static let softirqEntry = softirq("softirq_entry", 2007)
  static let softirqExit = softirq("softirq_exit", 2008)
  static let threadSwitch = TraceEventFormat(
    system: "sched", name: "sched_switch", id: 2009,
    declaring: [
      .text("prev_comm", bytes: 16), .number("prev_pid", as: Int32.self),
      .number("prev_prio", as: Int32.self), .number("prev_state", as: Int64.self),
      .text("next_comm", bytes: 16), .number("next_pid", as: Int32.self),
      .number("next_prio", as: Int32.self),
    ],
    printFormat: """
      "prev_comm=%s prev_pid=%d ==> next_comm=%s next_pid=%d", REC->prev_comm, REC->prev_pid, \
      REC->next_comm, REC->next_pid
      """)
  static let pageFault = TraceEventFormat(
    system: "exceptions", name: "page_fault_user", id: 2010,
    declaring: [
      .number("address", as: UInt64.self), .number("ip", as: UInt64.self),
      .number("error_code", as: UInt64.self),
    ],
    printFormat: """
      "address=0x%lx ip=0x%lx error_code=0x%lx", REC->address, REC->ip, REC->error_code
      """)
  static let noise = TraceEventFormat(
    system: "osnoise", name: "irq_noise", id: 2011,
    declaring: [
      .number("start", as: UInt64.self), .number("duration", as: UInt64.self),
      .text("desc", bytes: 16), .number("vector", as: Int32.self),
    ],
    printFormat: """
      "%s:%d start %lu duration %lu ns", REC->desc, REC->vector, REC->start, REC->duration
      """)

  static let all = [
    localTimerEntry, localTimerExit, callFunctionEntry, callFunctionExit, interruptEntry,
    interruptExit, softirqEntry, softirqExit, threadSwitch, pageFault, noise,
  ]

  private static func vector(_ name: String, _ id: Int) -> TraceEventFormat {
    TraceEventFormat(
      system: "irq_vectors", name: name, id: id, declaring: [.number("vector", as: Int32.self)],
      printFormat: #""vector=%d", REC->vector"#)
  }

  private static func softirq(_ name: String, _ id: Int) -> TraceEventFormat {
    TraceEventFormat(
      system: "irq", name: name, id: id, declaring: [.number("vec", as: UInt32.self)],
      printFormat: #""vec=%u", REC->vec"#)
  }

  static func interrupt(_ number: Int) -> [UInt8] {
    bytes(UInt32(number)) + text("eth0-rx-\(number - 24)")
  }

  static func switched(_ previous: Int32, _ next: Int32) -> [UInt8] {
    var payload = text(name(previous)) + bytes(previous) + bytes(Int32(120)) + bytes(Int64(1))
    payload += text(name(next)) + bytes(next) + bytes(Int32(120))
    return payload
  }

  static func interruptNoise(start: UInt64, _ duration: UInt64) -> [UInt8] {
    bytes(start) + bytes(duration) + text("local_timer") + bytes(Int32(236))
  }

  private static func name(_ thread: Int32) -> String {
    thread >= 1000 ? "worker/\(thread)" : "kworker/u8:\(thread)"
  }

  private static func text(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8.prefix(15))
    return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
  }

  private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}

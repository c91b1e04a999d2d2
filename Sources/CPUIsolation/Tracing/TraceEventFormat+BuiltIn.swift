// SPDX-License-Identifier: Apache-2.0

extension TraceEventFormat {
  /// The events that are known without a file: the kernel's five on calls between CPUs, and ours.
  ///
  /// The kernel's have its names, fields and offsets (Linux 6.18, 64 bits); their numbers are ours,
  /// because the kernel gives them anew at every start.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let builtIn = BuiltInEvent.allCases.map(\.format)

  /// Returns the built-in event of a name, or `nil`.
  ///
  /// `TraceEventFormat.builtIn(named: "ipi_send_cpu")`
  ///
  /// - Parameter name: the event's name, alone or after its system: `ipi/ipi_send_cpu` or
  ///   `ipi:ipi_send_cpu`.
  /// - Returns: the event.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when the list is first asked for
  public static func builtIn(named name: String) -> TraceEventFormat? {
    builtIn.first {
      $0.name == name || "\($0.system)/\($0.name)" == name || "\($0.system):\($0.name)" == name
    }
  }

  /// An interrupt is sent to one CPU.
  ///
  /// - Source: `ipi_send_cpu` (include/trace/events/ipi.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let ipiSendCPU = TraceEventFormat(
    system: "ipi", name: "ipi_send_cpu", id: BuiltInEvent.ipiSendCPU.number,
    declaring: [.number("cpu", as: UInt32.self), .pointer("callsite"), .pointer("callback")],
    printFormat: """
      "cpu=%u callsite=%pS callback=%pS", REC->cpu, REC->callsite, REC->callback
      """)

  /// An interrupt is sent to several CPUs at once.
  ///
  /// - Source: `ipi_send_cpumask` (include/trace/events/ipi.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let ipiSendCPUMask = TraceEventFormat(
    system: "ipi", name: "ipi_send_cpumask", id: BuiltInEvent.ipiSendCPUMask.number,
    declaring: [.cpuMask("cpumask"), .pointer("callsite"), .pointer("callback")],
    printFormat: """
      "cpumask=%s callsite=%pS callback=%pS", __get_cpumask(cpumask), REC->callsite, REC->callback
      """)

  /// A call is put into a CPU's queue, whether or not an interrupt is needed.
  ///
  /// - Source: `csd_queue_cpu` (include/trace/events/csd.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let csdQueueCPU = TraceEventFormat(
    system: "csd", name: "csd_queue_cpu", id: BuiltInEvent.csdQueueCPU.number,
    declaring: [
      .number("cpu", as: UInt32.self), .pointer("callsite"), .pointer("func"), .pointer("csd"),
    ],
    printFormat: """
      "cpu=%u callsite=%pS func=%ps csd=%p", REC->cpu, REC->callsite, REC->func, REC->csd
      """)

  /// A queued call begins on its CPU.
  ///
  /// - Source: `csd_function_entry` (include/trace/events/csd.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let csdFunctionEntry = csdFunction("csd_function_entry", .csdFunctionEntry)

  /// A queued call ends on its CPU.
  ///
  /// - Source: `csd_function_exit` (include/trace/events/csd.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let csdFunctionExit = csdFunction("csd_function_exit", .csdFunctionExit)

  private static func csdFunction(_ name: String, _ event: BuiltInEvent) -> TraceEventFormat {
    TraceEventFormat(
      system: "csd", name: name, id: event.number, declaring: [.pointer("func"), .pointer("csd")],
      printFormat: #""func=%ps, csd=%p", REC->func, REC->csd"#)
  }
}

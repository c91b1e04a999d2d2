// SPDX-License-Identifier: Apache-2.0

/// The events that the kernel has not.
extension TraceEventFormat {
  /// A send left its bit on a CPU: the work runs when that CPU next enters kernel.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let deferredWorkSet = deferredWork("deferred_work_set", .deferredWorkSet)

  /// A send found its work pending on a CPU already, and is covered by that.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let deferredWorkMerge = deferredWork("deferred_work_merge", .deferredWorkMerge)

  /// Deferred work ran for a CPU. `age` is the time in nanoseconds since its bit was set, 0 if
  /// nobody kept that.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let deferredWorkDrain = TraceEventFormat(
    system: "isolation", name: "deferred_work_drain", id: BuiltInEvent.deferredWorkDrain.number,
    declaring: [
      .number("cpu", as: UInt32.self), .pointer("work"), .number("age", as: UInt64.self),
    ],
    printFormat: #""cpu=%u work=%ps age=%lu", REC->cpu, REC->work, REC->age"#)

  /// A CPU goes to user. `transition` is its transition counter.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let contextUserEnter = contextUser("context_user_enter", .contextUserEnter)

  /// A CPU comes back from user. `transition` is its transition counter.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let contextUserExit = contextUser("context_user_exit", .contextUserExit)

  /// A grace period: `stage` is `start`, or `end` when every CPU of `cpumask`, those that had to be
  /// waited for at the start, has passed.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let gracePeriod = TraceEventFormat(
    system: "isolation", name: "grace_period", id: BuiltInEvent.gracePeriod.number,
    declaring: [
      .number("sequence", as: UInt64.self), .text("stage", bytes: 8), .cpuMask("cpumask"),
    ],
    printFormat: """
      "sequence=%lu stage=%s cpumask=%s", REC->sequence, REC->stage, __get_cpumask(cpumask)
      """)

  /// Translations of the pages `start..<end` are dropped by a CPU, up to a generation.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let tlbFlush = TraceEventFormat(
    system: "isolation", name: "tlb_flush", id: BuiltInEvent.tlbFlush.number,
    declaring: [
      .number("cpu", as: UInt32.self), .number("start", as: UInt64.self),
      .number("end", as: UInt64.self), .number("generation", as: UInt64.self),
    ],
    printFormat: """
      "cpu=%u start=0x%lx end=0x%lx generation=%lu", REC->cpu, REC->start, REC->end, REC->generation
      """)

  /// The text at `address`, so many bytes of it, is changed.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when it is first asked for
  public static let textPoke = TraceEventFormat(
    system: "isolation", name: "text_poke", id: BuiltInEvent.textPoke.number,
    declaring: [.pointer("address"), .number("bytes", as: UInt32.self), .pointer("callsite")],
    printFormat: """
      "address=%pS bytes=%u callsite=%pS", REC->address, REC->bytes, REC->callsite
      """)

  private static func deferredWork(_ name: String, _ event: BuiltInEvent) -> TraceEventFormat {
    TraceEventFormat(
      system: "isolation", name: name, id: event.number,
      declaring: [.number("cpu", as: UInt32.self), .pointer("work"), .pointer("callsite")],
      printFormat: """
        "cpu=%u work=%ps callsite=%pS", REC->cpu, REC->work, REC->callsite
        """)
  }

  private static func contextUser(_ name: String, _ event: BuiltInEvent) -> TraceEventFormat {
    TraceEventFormat(
      system: "isolation", name: name, id: event.number,
      declaring: [.number("transition", as: UInt64.self)],
      printFormat: #""transition=%lu", REC->transition"#)
  }
}

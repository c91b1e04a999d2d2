// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// What a ledger says of made-up counts, and of none.
@Suite struct InterferenceLedgerTests {
  typealias Column = InterferenceLedger.Column

  private static let interrupts: [Column] = [
    .tlbShootdowns, .functionCalls, .rescheduling, .timer, .deviceInterrupts, .otherInterrupts,
  ]

  /// A coordinator of which CPU 1 has a thread, and that thread's number.
  private func machine(
    _ interrupter: Interrupter = .poll
  ) throws -> (coordinator: Coordinator, cpu: ScriptedThread, thread: Int32) {
    let coordinator = try Coordinator(.scripted(isolated: 2, interrupter))
    let cpu = try ScriptedThread(coordinator, on: 1)
    return (coordinator, cpu, try cpu.run { _ in CurrentThread.id })
  }

  @Test func everyColumnIsTheDifferenceOfItsCounts() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    try tree.moveInterrupts([
      "TLB": 3, "CAL": 10, "RES": 4, "LOC": 250, "24": 8, "16": 1, "NMI": 2,
    ])
    try tree.writeThread(minor: 20, preemptions: 8, schedule: "900 1500 9")
    try tree.write("cpu2 1 2 3 4 5 6 7 53 9 9\n", to: "/proc/stat")
    let row = try #require(ledger.snapshot()[1])
    #expect((row.cpu, row.processor, row.thread) == (1, 2, machine.thread))
    let expected: [Column: UInt64] = [
      .tlbShootdowns: 3, .functionCalls: 7, .rescheduling: 4, .timer: 250, .deviceInterrupts: 9,
      .otherInterrupts: 2, .preemptions: 2, .sleeps: 0, .timeAway: 700, .stolenTime: 30_000_000,
      .minorFaults: 3, .majorFaults: 0, .kicks: 0,
    ]
    for column in Column.allCases {
      #expect(row[column] == expected[column], "\(column)")
      #expect(row.reason(column) == nil)
    }
    #expect(
      row.devices == [
        .init(label: "16", name: "ehci_hcd:usb1, i801_smbus", count: 1),
        .init(label: "24", name: "nvme0q1", count: 8),
      ], "the second came round in 32 bits")
    #expect(row.others == [.init(label: "NMI", name: "Non-maskable interrupts", count: 2)])
    #expect(row.kicks.isEmpty)
    #expect(row.description.hasPrefix("CPU 1: tlbShootdowns 3, functionCalls 7, "))
  }

  @Test func aDeviceThatBeginsAgainCountsFromZero() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    let table = InterruptCountsTests.x86.replacing("1         70  IR", with: "0          5  IR")
    try tree.write(table, to: "/proc/interrupts")
    #expect(ledger.snapshot()[1]?.devices?.map(\.count) == [5])
  }

  /// What container runtimes put in its place, and worse.
  @Test(arguments: ["", "CPU0\nLOC: 5\n", nil])
  func hiddenInterruptsAreNotZero(_ table: String?) throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    if let table {
      try tree.write(table, to: "/proc/interrupts")
    } else {
      try tree.remove("/proc/interrupts")
    }
    let row = try #require(
      InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files).snapshot()[1])
    for column in Self.interrupts {
      #expect(row[column] == nil)
      #expect(row.reason(column)?.contains("/proc/interrupts") == true, "\(column)")
    }
    #expect(row.devices == nil && row.others == nil)
    #expect(row[.preemptions] == 0 && row[.stolenTime] == 0, "other files have these")
    #expect(row.description.contains("tlbShootdowns ?"))
    let names = row.samples.map(\.name)
    #expect(!names.contains { $0.contains("shootdowns") || $0.contains("device") })
    #expect(names.contains("cpu_isolation_preemptions_total"))
    #expect(names.contains("cpu_isolation_stolen_time_nanoseconds"))
  }

  @Test func whereAFlushNeedsNoInterruptShootdownsAreNotVisible() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    try tree.write("flags\t: fpu invlpgb tsc\n", to: "/proc/cpuinfo")
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    try tree.moveInterrupts(["TLB": 1, "CAL": 4])
    let row = try #require(ledger.snapshot()[1])
    #expect(row[.tlbShootdowns] == nil)
    #expect(row.reason(.tlbShootdowns)?.contains("INVLPGB") == true)
    #expect(row[.functionCalls] == 3)
  }

  @Test func anotherArchitectureShowsWhatItCounts() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    try tree.write(InterruptCountsTests.arm64, to: "/proc/interrupts")
    try tree.writeThread(allowed: "1")
    let row = try #require(
      InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files).snapshot()[1])
    #expect(row[.tlbShootdowns] == nil && row[.timer] == nil)
    #expect(row.reason(.tlbShootdowns) == "this kernel does not count tlb shootdowns")
    #expect(row[.functionCalls] == 0 && row[.rescheduling] == 0)
  }

  @Test func aThreadThatMayRunAnywhereHasNoProcessor() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    try tree.writeThread(allowed: "0-2")
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    let row = try #require(ledger.snapshot()[1])
    for column in Self.interrupts + [.stolenTime] {
      #expect(row[column] == nil)
      #expect(row.reason(column)?.contains("may run on 0-2") == true)
    }
    #expect(row[.preemptions] == 0 && row.processor == nil)
  }

  @Test func withoutItsFilesAThreadSaysWhy() throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    try tree.remove("/proc/self/task/\(machine.thread)/schedstat")
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    #expect(ledger.snapshot()[1]?.reason(.timeAway)?.contains("schedstat") == true)
    #expect(ledger.snapshot()[1]?[.preemptions] == 0)
    for damage in ["", "7 a R\n", "7 (a) R 1 2\n"] {
      try tree.write(damage, to: "/proc/self/task/\(machine.thread)/stat")
      let row = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files).snapshot()[1]
      #expect(row?[.preemptions] == nil && row?[.timer] == nil, "\(damage)")
      #expect(row?.reason(.preemptions)?.contains("task/\(machine.thread)/") == true)
    }
  }

  @Test func aCPUWithoutAThreadAndOneWithAnotherSaySo() throws {
    let (coordinator, cpu, thread) = try machine()
    let tree = try LedgerTree(thread: thread)
    let ledger = InterferenceLedger(coordinator, cpus: [1, 2], files: tree.files)
    let none = try #require(ledger.snapshot()[2])
    #expect(none[.timer] == nil && none.reason(.timer) == "CPU 2 has no thread")
    #expect(none[.kicks] == 0, "the coordinator counts these itself")
    try cpu.end()
    let next = try ScriptedThread(coordinator, on: 1)
    let other = try next.run { _ in CurrentThread.id }
    let second = try LedgerTree(thread: other)
    for file in ["stat", "status", "schedstat"] {
      let path = "/proc/self/task/\(other)/\(file)"
      try tree.write(second.files.text(path), to: path)
    }
    let row = try #require(ledger.snapshot()[1])
    #expect(row.thread == other && row[.preemptions] == nil)
    #expect(row.reason(.preemptions) == "another thread took the CPU meanwhile")
    #expect(ledger.snapshot()[0] == nil && ledger.snapshot()[3] == nil)
  }

  @Test(.needsQueuedSignals) func kicksHaveASenderAndAPlace() throws {
    let (coordinator, cpu, thread) = try machine(.signal)
    let tree = try LedgerTree(thread: thread)
    let counter = Counter()
    let work = try coordinator.registerSafe(counting: counter)
    try cpu.enterUser()
    let ledger = InterferenceLedger(coordinator, cpus: [1], files: tree.files)
    let line = UInt(#line) + 2
    for count in 1...3 {
      coordinator.send(work, to: 1, urgency: .immediate)
      #expect(eventually { coordinator.statistics()[work].executed == count })
    }
    // One of the four rescheduling interrupts is not ours.
    try tree.moveInterrupts(["RES": 4])
    let row = try #require(ledger.snapshot()[1])
    #expect(row[.kicks] == 3 && coordinator.statistics()[work].interrupted == 3)
    #expect(row[.rescheduling] == 1)
    #expect(
      row.kicks == [.init(sender: 0, work: "safe", callSite: "\(#fileID):\(line)", count: 3)])
    #expect(row.samples.contains { $0.name == "cpu_isolation_kicks_total" && $0.value == 3 })
    // A later ledger has not seen them.
    #expect(
      InterferenceLedger(coordinator, cpus: [1], files: tree.files).snapshot()[1]?.kicks == [])
    try cpu.enterKernel()
  }

  @Test func intervalsFollowEachOther() async throws {
    let machine = try machine()
    let tree = try LedgerTree(thread: machine.thread)
    let ledger = InterferenceLedger(machine.coordinator, cpus: [1], files: tree.files)
    var iterator = ledger.snapshots(every: .milliseconds(20)).makeAsyncIterator()
    for step in 1...3 {
      try tree.moveInterrupts(["LOC": UInt64(step * step)])
      let snapshot = try #require(await iterator.next())
      #expect(snapshot.rows.count == 1 && snapshot.interval >= .milliseconds(20))
      #expect(snapshot[1]?[.timer] == UInt64(2 * step - 1), "1, 4 and 9, one after the other")
    }
    #expect(ledger.snapshot()[1]?[.timer] == 9, "since the ledger began")
  }

  @Test func aSequenceEndsWithItsTask() async throws {
    let (coordinator, cpu, _) = try machine()
    let task = Task {
      var count = 0
      for await _ in InterferenceLedger(coordinator).snapshots(every: .seconds(3600)) { count += 1 }
      return count
    }
    task.cancel()
    #expect(await task.value == 0)
    try cpu.end()
  }

  @Test func columnsHaveNamesAndUnits() {
    #expect(Column.allCases.filter(\.isTime) == [.timeAway, .stolenTime])
    #expect(Set(Column.allCases.map(\.metric)).count == Column.allCases.count)
    #expect(Column.tlbShootdowns.metric == "cpu_isolation_tlb_shootdowns_total")
  }

  @Test func whatMakesNoSenseEndsTheProcessWithItsPlace() async {
    func expect(_ result: ExitTest.Result?, _ sentence: String) {
      let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(text.contains(sentence) && text.contains("InterferenceLedgerTests.swift"), "\(text)")
    }
    expect(
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = InterferenceLedger(try Coordinator(.scripted()), cpus: [7])
      }, "there is no CPU 7")
    expect(
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = InterferenceLedger(try Coordinator(.scripted())).snapshots(every: .zero)
      }, "interval has to be positive")
    expect(
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = try KernelLedger(processors: [])
      }, "at least one processor")
  }
}

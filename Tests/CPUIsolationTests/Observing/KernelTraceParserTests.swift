// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// Lines of a trace pipe, as Linux 6.18 writes them.
@Suite struct KernelTraceParserTests {
  private func parse(_ text: String, in pieces: Int = 1) -> KernelLedger.Report {
    var parser = KernelLedger.TraceParser(processors: [1, 33], process: 500)
    let bytes = Array(text.utf8)
    for piece in 0..<pieces {
      parser.parse(
        Array(bytes[bytes.count * piece / pieces..<bytes.count * (piece + 1) / pieces]))
    }
    return parser.takeReport()
  }

  private static let flush = """
              churn/0-512     (    500) [000] ...2.  4245.699339: csd_queue_cpu: cpu=1 callsite=on_each_cpu_cond_mask+0x20/0x60 func=flush_tlb_func csd=ffff888627d2e660
              churn/0-512     (    500) [000] ...2.  4245.699341: ipi_send_cpu: cpu=1 callsite=on_each_cpu_cond_mask+0x20/0x60 callback=generic_smp_call_function_single_interrupt+0x0/0x10

    """

  @Test func aCallHasTheNameOfItsFunction() {
    for pieces in [1, 2, 7, 300] {
      let report = parse(Self.flush, in: pieces)
      #expect(
        report.entries == [
          KernelLedger.Entry(
            processor: 1, thread: 512, threadName: "churn/0", process: 500,
            callback: "flush_tlb_func", callSite: "on_each_cpu_cond_mask+0x20/0x60",
            moment: .seconds(4245) + .microseconds(699_341))
        ])
      #expect(report.lost == 0 && report.unknown == 0 && report.signals == [:])
    }
    #expect(
      parse(Self.flush).entries[0].description
        == "churn/0 (thread 512 of 500) interrupted processor 1: flush_tlb_func, from "
        + "on_each_cpu_cond_mask+0x20/0x60")
  }

  /// What was queued by one thread is not the name of what another sends.
  @Test func threadsDoNotLendEachOtherNames() {
    let text =
      " a-1 (    600) [000] ...2. 1.000001: csd_queue_cpu: cpu=1 callsite=x func=do_sync_core csd=0\n"
      + " b-2 (-------) [002] ...2. 1.000002: ipi_send_cpu: cpu=1 callsite=y callback=z+0x0/0x10\n"
      + " a-1 (    600) [000] ...2. 1.000003: ipi_send_cpu: cpu=1 callsite=x callback=z+0x0/0x10\n"
      + " a-1 (    600) [000] ...2. 1.000004: ipi_send_cpu: cpu=1 callsite=x callback=z+0x0/0x10\n"
    let report = parse(text)
    #expect(report.entries.map(\.callback) == ["z", "do_sync_core", "z"])
    #expect(report.entries.map(\.process) == [nil, 600, 600])
    #expect(report.counts() == ["z": 2, "do_sync_core": 1])
    #expect(report.counts(of: 600) == ["z": 1, "do_sync_core": 1])
  }

  @Test func aMaskIsAnInterruptForEachProcessor() {
    let text =
      " a-1 (1) [000] d..2. 1.000001: csd_queue_cpu: cpu=33 callsite=x func=f csd=0\n"
      + " a-1 (1) [000] d..2. 1.000002: ipi_send_cpumask: cpumask=00000002,00000006 callsite=x "
      + "callback=g+0x0/0x10\n"
    let report = parse(text)
    #expect(report.entries.map(\.processor) == [1, 33], "2 is not asked for")
    #expect(report.entries.map(\.callback) == ["g", "f"])
  }

  @Test func ourSignalIsKnownFromOthers() {
    let text =
      " x - (y-3 (    500) [000] d..4. 1.000001: ipi_send_cpu: cpu=1 callsite=k callback=0x0\n"
      + " x - (y-3 (    500) [000] dN.2. 1.000005: signal_generate: sig=36 errno=0 code=-6 "
      + "comm=loop (1) pid=77 grp=0 res=0\n"
      + " z-4 (    501) [000] d..4. 1.000010: ipi_send_cpu: cpu=1 callsite=k callback=0x0\n"
      + " z-4 (    501) [000] dN.2. 1.000015: signal_generate: sig=36 errno=0 code=-6 comm=l pid=77 "
      + "grp=0 res=0\n"
      + " w-5 (    500) [000] d..4. 1.000020: ipi_send_cpu: cpu=1 callsite=k callback=0x0\n"
      + " w-5 (    500) [000] dN.2. 1.900000: signal_generate: sig=36 errno=0 code=-6 comm=l pid=78 "
      + "grp=0 res=2\n"
    let report = parse(text)
    #expect(report.entries.map(\.threadName) == ["x - (y", "z", "w"])
    #expect(report.entries.map(\.isOwnSignal) == [true, false, false])
    #expect(report.entries.map(\.callback) == Array(repeating: "rescheduling", count: 3))
    #expect(report.signals == [77: 1, 78: 1])
    #expect(report.entries[0].description.contains("rescheduling, our signal, from k"))
  }

  @Test func whatAnInterruptSendsIsNotTheThreadsOwn() {
    let text = ["d..2.", "d.h2.", "dNs4.", "D.H1.", "...2.", "d.Z2.", "bN.1."].enumerated().map {
      " a-1 (    500) [000] \($1) 1.00000\($0): ipi_send_cpu: cpu=1 callsite=x+0x1 callback=0x0\n"
    }
    let report = parse(text.joined())
    #expect(
      report.entries.map(\.isFromInterrupt) == [false, true, true, true, false, true, false])
    #expect(report.ownCounts == ["rescheduling": 7])
    #expect(
      report.entries[1].description
        == "a (thread 1 of 500) interrupted processor 1: rescheduling, inside an interrupt, from x+0x1"
    )
  }

  /// In a PID namespace the process learns its number by what it writes into the trace itself.
  @Test func aProcessFindsItselfByItsMark() {
    var parser = KernelLedger.TraceParser(processors: [1], process: nil, mark: "ours.1")
    func parse(_ text: String) -> KernelLedger.Report {
      parser.parse(Array(text.utf8))
      return parser.takeReport()
    }
    let signal =
      " a-9 (    77) [000] d..4. 1.000001: ipi_send_cpu: cpu=1 callsite=k callback=0x0\n"
      + " a-9 (    77) [000] dN.2. 1.000005: signal_generate: sig=36 errno=0 code=-6 comm=l pid=78 "
      + "grp=0 res=0\n"
    let before = parse(signal)
    #expect(before.process == nil && before.signals == nil && before.ownCounts == nil)
    #expect(before.entries.map(\.isOwnSignal) == [false])
    let mark = " a-9 (%) [000] ..... 1.100000: tracing_mark_write: ours.1\n"
    for (group, text) in [("-------", "ours.1"), ("    76", "ours.2")] {
      let line = mark.replacing("%", with: group).replacing("ours.1", with: text)
      #expect(parse(line).process == nil)
    }
    #expect(parse(mark.replacing("%", with: "    77")).signals == [:])
    let after = parse(signal)
    #expect(after.process == 77 && after.signals == [78: 1] && after.unknown == 0)
    #expect(after.entries.map(\.isOwnSignal) == [true])
    #expect(after.ownCounts == ["rescheduling": 1])
  }

  @Test func whatIsLostOrUnknownIsCounted() {
    let text =
      "CPU:0 [LOST 123 EVENTS]\nCPU:1 [LOST 7 EVENTS]\nnonsense\n"
      + " a-1 (1) [000] ...2. 1.000001: ipi_send_cpu: cpu=one callsite=x callback=0x0\n"
      + " a-1 (1) [000] ...2. soon: ipi_send_cpu: cpu=1 callsite=x callback=0x0\n"
      + " a-1 (1) [000] ...2. 1.000001: other_event: cpu=1\n"
    let report = parse(text)
    #expect(report.lost == 130 && report.unknown == 4 && report.entries.isEmpty)
  }
}

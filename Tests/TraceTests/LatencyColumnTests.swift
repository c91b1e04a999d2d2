// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// The column that says what was going on where an event was recorded.
@Suite struct LatencyColumnTests {
  private func column(
    _ flags: UInt8, _ preemption: UInt8, kernelRelease: String?,
    style: TraceTextReport.Style = .kernel
  ) throws -> String {
    var events = TestEvents(kernelRelease: kernelRelease)
    try events.define("event", id: 9, fields: "", print: #""""#)
    events.record(9, [1, 2, 3, 4], flags: flags, preemption: preemption)
    let line = try #require(events.lines(style).first)
    return String(try #require(line.firstMatch(of: #/\] (\S+) /#)?.output.1))
  }

  /// The kernel's letters, and trace-cmd's, which know neither lazy reschedules nor interrupts that
  /// cannot be masked.
  @Test(
    arguments: [
      (0x00, 0x00, ".....", "....."), (0x01, 0x00, "d....", "d...."),
      (0x80, 0x00, "b....", "....."),
      (0x81, 0x00, "D....", "d...."), (0x09, 0x02, "d.h2.", "d.h2."),
      (0x10, 0x11, "..s11", "..s11"),
      (0x18, 0x00, "..H..", "..H.."), (0x40, 0x00, "..z..", "....."),
      (0x48, 0x00, "..Z..", "..h.."),
      (0x24, 0x00, ".N...", ".N..."), (0x04, 0x00, ".n...", ".N..."),
      (0x20, 0x00, ".p...", "....."),
      (0x02, 0x00, ".l...", "X...."), (0x22, 0x00, ".L...", "X...."),
      (0x06, 0x00, ".b...", "XN..."),
      (0x26, 0x00, ".B...", "XN..."), (0x00, 0xaf, "...fa", "...fa"),
      (0x03, 0x10, "dl..1", "d...1"),
    ] as [(UInt8, UInt8, String, String)])
  func letters(flags: UInt8, preemption: UInt8, kernel: String, traceCmd: String) throws {
    #expect(try column(flags, preemption, kernelRelease: "6.18.44-amd64") == kernel)
    #expect(
      try column(flags, preemption, kernelRelease: "6.18.44-amd64", style: .traceCmd) == traceCmd)
  }

  /// What the bits mean follows the kernel that recorded: one whose release is not known is taken
  /// for a current one that has one kind of reschedule.
  @Test(
    arguments: [
      (nil, 0x04, ".N..."), (nil, 0x24, ".N..."), (nil, 0x02, ".l..."), ("6.12.1", 0x02, "X...."),
      ("6.12.1", 0x06, "Xn..."), ("3.10.0-el7", 0x04, ".N..."), ("6.13-rc1", 0x22, ".L..."),
      ("odd", 0x02, ".l..."),
    ] as [(String?, UInt8, String)])
  func releases(release: String?, flags: UInt8, printed: String) throws {
    #expect(try column(flags, 0, kernelRelease: release) == printed)
  }

  @Test func withoutIt() throws {
    var recording = TraceRecording(cpuCount: 1)
    recording.define(.ipiSendCPU)
    recording.append(
      cpu: 0, timestamp: 1_000, event: 1001,
      payload: TestPayload.sendCPU(1, from: 0, to: 0, thread: 3))
    #expect(
      recording.reportLines(showsLatency: false).last
        == "           <...>-3     [000]     0.000001: ipi_send_cpu:         "
        + "cpu=1 callsite=0x0 callback=0x0")
  }
}

/// The states of `sched_switch`.
@Suite struct SchedulerStateTests {
  /// As the format of Linux 6.18 has them.
  @Test func states() throws {
    var events = TestEvents()
    let mask =
      "((((0x00000000 | 0x00000001 | 0x00000002 | 0x00000004 | 0x00000008 | 0x00000010 | "
      + "0x00000020 | 0x00000040) + 1) << 1) - 1)"
    try events.define(
      "sched_switch", id: 9, system: "sched",
      fields: """
        field:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
        field:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
        field:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;
        field:long prev_state;\toffset:32;\tsize:8;\tsigned:1;
        field:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;
        field:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;
        field:int next_prio;\toffset:60;\tsize:4;\tsigned:1;
        """,
      print:
        #""prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s next_pid=%d "#
        + #"next_prio=%d", REC->prev_comm, REC->prev_pid, REC->prev_prio, (REC->prev_state & "#
        + "\(mask)) ? __print_flags(REC->prev_state & \(mask), \"|\", "
        + #"{ 0x00000001, "S" }, { 0x00000002, "D" }, { 0x00000004, "T" }, { 0x00000008, "t" }, "#
        + #"{ 0x00000010, "X" }, { 0x00000020, "Z" }, { 0x00000040, "P" }, { 0x00000080, "I" }) : "#
        + "\"R\", REC->prev_state & (\(mask) + 1) ? \"+\" : \"\", REC->next_comm, REC->next_pid, "
        + "REC->next_prio")
    let name = Array("worker".utf8) + [UInt8](repeating: 0, count: 10)
    for state in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 257, 3] as [UInt64] {
      events.record(
        9,
        name + TestPayload.bytes(UInt32(7)) + TestPayload.bytes(UInt32(120))
          + TestPayload.bytes(state) + name + TestPayload.bytes(UInt32(8))
          + TestPayload.bytes(UInt32(98)))
    }
    func between(_ text: String, _ first: String, _ last: String) -> String {
      guard let start = text.firstRange(of: first)?.upperBound,
        let end = text[start...].firstRange(of: last)?.lowerBound
      else { return text }
      return String(text[start..<end])
    }
    #expect(
      events.texts().map { between($0, "prev_state=", " ==>") }
        == ["R", "S", "D", "T", "t", "X", "Z", "P", "I", "R+", "S+", "S|D"])
    #expect(events.texts()[0].hasSuffix(" ==> next_comm=worker next_pid=8 next_prio=98"))
    #expect(
      events.texts(.traceCmd).map { between($0, "worker:7 [120] ", " ==>") }
        == ["R", "S", "D", "T", "t", "X", "Z", "P", "I", "R", "S", "S|D"])
  }
}

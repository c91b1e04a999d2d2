// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// Files that trace-cmd 3.1.6 recorded of Linux 6.18, and what the report of 3.3.3 says of them.
///
/// Two threads, `housekeeper` issuing membarriers and `router` spinning, were recorded with
///
///     trace-cmd record -d -k --file-version 6 -e ipi:ipi_send_cpu -f FILTER -e csd:… -e sched:… …
///     trace-cmd record -d -k --compression none -B isolation -e ipi:ipi_send_cpu -f FILTER …
///
/// where FILTER names the two threads. While they ran, a list of the few symbols that occur was
/// mounted over `/proc/kallsyms`: the full one has five megabytes. The texts are what
/// `trace-cmd report FILE` printed (3.3.3 with libtraceevent 1.8.4).
@Suite struct KernelFileTests {
  @Test(arguments: ["kernel-6", "kernel-7"]) func reportsAreTheSame(name: String) throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("\(name).dat"))
    #expect(recording.reportLines(.traceCmd) == (try Fixture.lines("\(name).txt")))
    #expect(recording.cpuCount == 2)
  }

  /// Written as version 6, whatever it was, it says the same.
  @Test(arguments: ["kernel-6", "kernel-7"]) func rewritten(name: String) throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("\(name).dat"))
    let (bytes, damage) = try recording.encoded(as: .traceDat)
    #expect(damage.isEmpty)
    let again = try TraceRecording(bytes: bytes)
    #expect(again.reportLines(.traceCmd) == (try Fixture.lines("\(name).txt")))
    #expect(again.buffers.map(\.name) == recording.buffers.map(\.name))
    #expect(again.eventFormats == recording.eventFormats)
  }

  /// A filter of the kernel's language chooses the lines that a look at the text does.
  @Test func filters() throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("kernel-6.dat"))
    func lines(_ filters: [(String, String)]) throws -> [String] {
      var selection = TraceSelection(recording)
      for (event, filter) in filters { try selection.add(event, filter) }
      var report = TraceTextReport(recording, style: .traceCmd)
      return recording.records().filter(selection.contains).map { report.line(for: $0) }
    }
    let text = try Fixture.lines("kernel-6.txt").dropFirst()
    func expected(_ test: (String) -> Bool) -> [String] { text.filter(test) }

    #expect(try lines([]) == Array(text))
    let sent = expected { $0.contains(" ipi_send_cpu: ") && $0.contains("cpu=1 ") }
    #expect(!sent.isEmpty)
    #expect(try lines([("ipi_send_cpu", "cpu & CPUS{1}")]) == sent)
    #expect(
      try lines([("ipi/ipi_send_cpu", "cpu == 1"), ("ipi:ipi_send_cpu", "cpu == 5")]) == sent)
    #expect(
      try lines([("csd_queue_cpu", "func.function == ipi_mb && CPU == 0")])
        == expected {
          $0.contains(" csd_queue_cpu: ") && $0.contains("ipi_mb") && $0.contains("[000]")
        })
    #expect(
      try lines([("softirq_entry", ""), ("sched_switch", "prev_comm == \"router\"")])
        == expected {
          $0.contains(" softirq_entry: ")
            || $0.contains(" sched_switch: ") && $0.contains(" router:")
              && $0.split(separator: " sched_switch: ")[1].contains(/^ *router:/)
        })
    #expect(
      try lines([("sched_waking", "comm ~ \"rout*\"")])
        == expected { $0.contains(" sched_waking: ") && $0.contains(" comm=rout") })
  }

  /// The seed's table: which functions interrupted, by the interrupts' text.
  @Test func countedByCallback() throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("kernel-6.dat"))
    var report = TraceTextReport(recording)
    var counts: [String: Int] = [:]
    for record in recording.records() {
      if let text = report.text(ofField: "callback", in: record) { counts[text, default: 0] += 1 }
    }
    var expected: [String: Int] = [:]
    for line in try Fixture.lines("kernel-6.txt") {
      guard let word = line.split(separator: " ").last, word.hasPrefix("callback=") else {
        continue
      }
      expected[String(word.dropFirst("callback=".count)), default: 0] += 1
    }
    #expect(expected.count > 1)
    #expect(counts == expected)
  }

  /// For "look into your call queue" the table of interferences has the function that was queued.
  @Test func interferences() throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("kernel-6.dat"))
    let rows = recording.interferences()
    let membarriers = rows.filter { $0.callback == "ipi_mb" }
    #expect(membarriers.count == 1)
    #expect(membarriers.first?.sender.hasPrefix("housekeeper-") == true)
    #expect(membarriers.first?.target == 1)
    let sent = try Fixture.lines("kernel-6.txt").count { $0.contains(" ipi_send_cpu: ") }
    #expect(rows.reduce(0) { $0 + $1.count } == sent)
    #expect(!rows.contains { $0.callback.hasPrefix("generic_smp_call_function") })
  }
}

/// The real trace-cmd reads what this library writes, and prints what this library prints.
@Suite(.enabled(if: Program.traceCmd != nil, "trace-cmd is not installed"))
struct TraceCmdTests {
  private func theirs(
    _ recording: TraceRecording, _ compression: TraceCompression = .none
  ) throws -> [String] {
    let folder = try TemporaryFolder()
    let path = folder.path("trace.dat")
    try recording.write(.traceDat, to: path, compression: compression)
    let program = try #require(Program.traceCmd)
    return try program.output(["report", path]).split(separator: "\n").map {
      // From version 3.3 on there is a column that says what was going on.
      String($0).replacing(#/(\[[0-9]{3,}\]) [^ ]{5,8} /#) { "\($0.output.1) " }
    }
  }

  private func ours(_ recording: TraceRecording) -> [String] {
    recording.reportLines(.traceCmd, showsLatency: false)
  }

  /// Before libtraceevent 1.8 some states have the letters of older kernels.
  private func states(_ lines: [String]) -> [String] {
    lines.filter { !$0.contains(" sched_switch: ") }
  }

  @Test func theirReportIsOurs() throws {
    let recording = TestRecording.manifold()
    #expect(ours(recording).count == 17)
    #expect(try theirs(recording) == ours(recording))
    #expect(try theirs(TestRecording.interplay()) == ours(TestRecording.interplay()))
  }

  /// Debian's trace-cmd has no zlib.
  @Test func compressedFiles() throws {
    for recording in [TestRecording.manifold(), TestRecording.interplay()] {
      #expect(try theirs(recording, .zstd) == ours(recording))
    }
    let kernel = try TraceRecording(contentsOf: Fixture.path("kernel-6.dat"))
    #expect(states(try theirs(kernel, .zstd)) == states(ours(kernel)))
  }

  /// Clocks that count ticks, and stamps that are moved by an offset.
  @Test(arguments: ["counter", "x86-tsc", "global"], [0, 123_456, -900] as [Int64])
  func clocks(name: String, offset: Int64) throws {
    var recording = TraceRecording(cpuCount: 1, clock: name)
    recording.define(.contextUserEnter)
    recording.options.timeOffset = offset
    for time in [1_000, 12_345_678, 123_456_789_012_345] as [UInt64] {
      recording.append(
        cpu: 0, timestamp: time, event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(1, thread: 3))
    }
    #expect(try theirs(recording) == ours(recording))
    let (bytes, _) = try recording.encoded(as: .traceDat)
    let times = try TraceRecording(bytes: bytes).records().map(\.timestamp)
    #expect(times.first == UInt64(1_000 + offset))
  }

  @Test func namedInstances() throws {
    let recording = try TraceRecording(
      bytes: Version7.file(of: TestRecording.interplay(), sorted: true, instances: ["a", "later"]))
    #expect(try theirs(recording) == ours(recording))
  }

  @Test(arguments: ["kernel-6", "kernel-7"]) func rewrittenKernelFiles(name: String) throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("\(name).dat"))
    #expect(states(try theirs(recording)) == states(ours(recording)))
  }

  /// Random masks of up to 1100 CPUs, on many pages, with losses between them.
  @Test func randomMasks() throws {
    var recording = TestRecording.empty(cpuCount: 8)
    var generator = SeededGenerator(state: 11)
    var time: UInt64 = 0
    for _ in 0..<2_000 {
      let words = Int.random(in: 0...17, using: &generator)
      let mask = (0..<words).map { _ in
        UInt64.random(in: 0...UInt64.max, using: &generator)
          & UInt64.random(in: 0...UInt64.max, using: &generator)
      }
      time += UInt64.random(in: 0..<1 << 29, using: &generator)
      let cpu = Int.random(in: 0..<8, using: &generator)
      if UInt.random(in: 0..<20, using: &generator) == 0 { recording.lost(cpu: cpu, count: time) }
      recording.append(
        cpu: cpu, timestamp: time, event: TestRecording.id("ipi_send_cpumask"),
        payload: TestPayload.sendMask(
          mask, from: UInt64.random(in: 0xff0..<0x3010, using: &generator), to: 0x1000,
          thread: Int32.random(in: 99...102, using: &generator)))
    }
    let lines = ours(recording)
    #expect(lines.count > 2_000)
    // What they print of a loss beyond 31 bits is cut.
    func events(_ lines: [String]) -> [String] { lines.filter { !$0.contains("DROPPED") } }
    let theirs = try theirs(recording)
    #expect(events(theirs) == events(lines))
    #expect(theirs.count == lines.count)
  }

  /// Formats of one's own: what `print fmt:` can say is printed alike.
  @Test func printFormats() throws {
    var recording = TraceRecording(cpuCount: 1)
    for (index, test) in PrintFormatTests.cases.enumerated() where test.isAsTraceCmdPrints {
      recording.define(PrintFormatTests.format(test.text, id: 100 + index))
      recording.append(
        cpu: 0, timestamp: UInt64(index), event: 100 + index, payload: PrintFormatTests.payload)
    }
    recording.nameSymbol("begin", at: 0x1000)
    recording.nameSymbol("end", at: 0x2000)
    let theirs = try theirs(recording)
    #expect(theirs.count == ours(recording).count)
    for (theirs, ours) in zip(theirs, ours(recording)) { #expect(theirs == ours) }
  }
}

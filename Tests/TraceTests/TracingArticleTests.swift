// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace
import Testing

/// What Documentation/Tracing.md shows: every piece of Swift on the page stands here, line by line.
@Suite struct TracingArticleTests {
  @Test func anEventOfOnesOwn() throws {
    let refreshed = TraceEventFormat(
      system: "routes", name: "refreshed", id: 2001,
      declaring: [.number("count", as: UInt32.self), .text("table", bytes: 16)],
      printFormat: #""count=%u table=%s", REC->count, REC->table"#)
    #expect(refreshed.name == "refreshed")
    #expect(try TraceFilter("count > 3", for: refreshed, cpuCount: 4).description.contains("count"))
  }

  @Test func kicksAreRecorded() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [2, 3])
    configuration.traceEvents = 16_384  // what each ring keeps, 64 bytes an event
    let coordinator = try Coordinator(configuration)

    let work = try coordinator.register("work") { _ in }
    let tracer = coordinator.tracer
    try tracer.start(.ipiSendCPU, filter: "cpu & CPUS{2-3}")
    try tracer.start(.ipiSendCPUMask, filter: "cpumask & CPUS{2-3}")

    let thread = try coordinator.launch(on: 2) { cpu in
      while !coordinator.isClosed { cpu.poll() }
    }
    #expect(coordinator.send(work, to: 2, urgency: .immediate) == .interrupted)
    #expect(TraceRecording(tracer.snapshot()).interferences().map(\.count) == [1])
    coordinator.close()
    thread.join()
  }

  /// Compiled, and not run: it would leave files where the tests are started.
  private func write(_ tracer: Tracer) throws {
    let recording = TraceRecording(tracer.snapshot())  // import CPUIsolationTrace
    for row in recording.interferences() { print(row.count, row.sender, row.target, row.callback) }
    try recording.write(.traceDat, to: "trace.dat")
    try recording.write(.html, to: "trace.html")
  }

  private func write(_ immediate: TraceRecording, _ deferred: TraceRecording) throws {
    try HTMLReport([
      HTMLReport.Part(immediate, title: "immediate", isolated: [2, 3]),
      HTMLReport.Part(deferred, title: "deferred", isolated: [2, 3]),
    ]).write(to: "report.html")
  }

  @Test func aFilterIsAsked() throws {
    var format = [UInt8](repeating: 0, count: 32)
    format[8] = 5
    let record = unsafe format.span.bytes
    let filter = try TraceFilter("cpu & CPUS{4-7}", for: .ipiSendCPU, cpuCount: 8)
    let isWanted = filter.matches(record, cpu: 0)
    #expect(isWanted)
  }
}

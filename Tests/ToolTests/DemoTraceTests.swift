// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Testing

@testable import IsolationDemo

@Suite struct DemoFilterTests {
  private func events(_ filters: String..., isolated: String = "1") throws -> [RecordedEvent] {
    let arguments = filters.flatMap { ["--filter", $0] } + ["--isolated", isolated]
    guard case .run(let options) = try Options.parse(arguments, processors: 4) else { return [] }
    return options.events
  }

  private func text(_ filters: String..., isolated: String = "1") throws -> [String: String] {
    let arguments = filters.flatMap { ["--filter", $0] } + ["--isolated", isolated]
    guard case .run(let options) = try Options.parse(arguments, processors: 4) else { return [:] }
    return Dictionary(uniqueKeysWithValues: options.events.map { ($0.format.name, $0.filter) })
  }

  /// What the experiment of 2023 recorded: interrupts to isolated CPUs, so that each is one.
  @Test func nothingSaidIsInterruptsOfIsolatedCPUs() throws {
    #expect(
      try events(isolated: "1-2,5")
        == [
          RecordedEvent(.ipiSendCPU, "cpu & CPUS{1-2,5}"),
          RecordedEvent(.ipiSendCPUMask, "cpumask & CPUS{1-2,5}"),
        ])
  }

  /// A filter is for the event that has its field, which for `cpu` the other has too, as the one
  /// that records.
  @Test func aFilterFindsItsEvent() throws {
    let usual = ["ipi_send_cpu": "cpu & CPUS{1}", "ipi_send_cpumask": "cpumask & CPUS{1}"]
    #expect(try text() == usual)
    #expect(try text("cpu == 1") == usual.merging(["ipi_send_cpu": "cpu == 1"]) { $1 })
    #expect(
      try text("cpu == 1 || cpumask & CPUS{0}")
        == usual.merging(["ipi_send_cpumask": "cpu == 1 || cpumask & CPUS{0}"]) { $1 })
    let both = #"callback.function == sync_core && comm != "cpu""#
    #expect(try text(both) == ["ipi_send_cpu": both, "ipi_send_cpumask": both])
    #expect(try text("") == ["ipi_send_cpu": "", "ipi_send_cpumask": ""])
    #expect(
      try text("cpu == 0", "cpumask & CPUS{0}")
        == ["ipi_send_cpu": "cpu == 0", "ipi_send_cpumask": "cpumask & CPUS{0}"])
  }

  @Test func otherEventsAreRecordedBesides() throws {
    #expect(
      try events("context_user_exit:", "isolation/deferred_work_drain:age > 1000").dropFirst(2)
        == [
          RecordedEvent(.contextUserExit, ""),
          RecordedEvent(.deferredWorkDrain, "age > 1000"),
        ])
    #expect(try text("ipi_send_cpumask:cpu == 0")["ipi_send_cpumask"] == "cpu == 0")
    // The colon in quotes is none.
    #expect(try text(#"comm == "a:b""#)["ipi_send_cpu"] == #"comm == "a:b""#)
  }

  @Test func listsHaveNames() throws {
    #expect(
      try text("cpu & CPUS{isolated}", isolated: "1-3")["ipi_send_cpu"] == "cpu & CPUS{1-3}")
    #expect(
      try text("cpu & CPUS{ housekeeping, 2 } || CPU & CPUS{isolated}", isolated: "1-3")[
        "ipi_send_cpu"] == "cpu & CPUS{0, 2 } || CPU & CPUS{1-3}")
    let quoted = #"comm == "CPUS{isolated}""#
    #expect(try text(quoted)["ipi_send_cpu"] == quoted)
  }

  @Test(arguments: [
    (
      "cpuu == 1", ["--filter for ipi_send_cpu:", "cpuu == 1", "^", "parse_error: Field not found"]
    ),
    (
      "cpumask & MASK{1}",
      [
        "--filter for ipi_send_cpumask:", "cpumask & MASK{1}", "          ^",
        "parse_error: Invalid value (did you forget quotes)?",
      ]
    ),
    (
      "callback.function == nobody",
      [
        "--filter for ipi_send_cpu:", "callback.function == nobody", "                     ^",
        "parse_error: Function not found",
      ]
    ),
    ("nothing:cpu == 1", [#"--filter: there is no event "nothing""#]),
  ])
  func aBadFilterIsReportedAsTheKernelDoes(filter: String, lines: [String]) throws {
    let error = #expect(throws: Options.UsageError.self) { try events(filter) }
    let told = try #require(error).description.split(separator: "\n").map(String.init)
    #expect(Array(told.prefix(lines.count)) == lines)
  }

  @Test func whatCannotBeFollowedIsRefused() {
    for (arguments, word) in [
      (["--filter"], "--filter"), (["--trace"], "--trace"), (["--report", "-"], "--report"),
      (["--filter", "cpu == 1", "--filter", "ipi_send_cpu:cpu == 0"], "ipi_send_cpu"),
      (["--trace", "both", "--report", "both"], "both"),
    ] {
      let error = #expect(throws: Options.UsageError.self) {
        try Options.parse(arguments, processors: 2)
      }
      #expect(error?.description.contains(word) == true, "\(arguments)")
    }
  }

  /// A page shows how long work waits, without a filter that asks for it; one that asks counts.
  @Test func aPageRecordsDeferrals() throws {
    func events(_ arguments: String...) throws -> [RecordedEvent] {
      let arguments = ["--isolated", "1-2", "--report", "page"] + arguments
      guard case .run(let options) = try Options.parse(arguments, processors: 4) else { return [] }
      return options.events
    }
    let usual = RecordedEvent.interrupts(of: [1, 2])
    #expect(
      try events()
        == usual + [
          RecordedEvent(.deferredWorkSet, "cpu & CPUS{1-2}"),
          RecordedEvent(.deferredWorkMerge, "cpu & CPUS{1-2}"),
          RecordedEvent(.deferredWorkDrain, "cpu & CPUS{1-2}"),
        ])
    #expect(
      try events("--filter", "deferred_work_drain:age > 5").last
        == RecordedEvent(.deferredWorkDrain, "age > 5"))
  }

  /// Rings have room for all that the load can record, and are never larger than memory allows.
  @Test func ringsFitTheLoad() throws {
    func size(_ arguments: String...) throws -> Int {
      guard case .run(let options) = try Options.parse(arguments, processors: 4) else { return 0 }
      return HalfTrace.eventsPerRing(options)
    }
    let sends = 5 * (3 * (576 + 236) + 309 + 24) * 2 / 5
    #expect(try size("--isolated", "1-3") > 4 * sends)
    #expect(try size("--isolated", "1-3", "--duration", "86400") == (1 << 24) / 5)
    #expect(try size("--isolated", "1-1023", "--duration", "86400") == (1 << 24) / 1025)
  }
}

/// The built command and what it writes. One run at a time: the runs have threads that spin.
@Suite(.serialized) struct DemoTraceTests {
  private struct Written {
    var run: DemoProcess
    var trace: URL
    var page: URL
    /// The `trace` of each half in the JSON.
    var halves: [[String: Any]] = []

    func ipis(_ half: Int) throws -> [String: Int] {
      try #require(halves[half]["ipis"] as? [String: Int])
    }

    /// What `isolation-trace report` prints, without the heading.
    func lines() throws -> [String] {
      let tool = DemoProcess.directory.appendingPathComponent("isolation-trace").path
      let report = try DemoProcess(
        ["report", "--like", "trace-cmd", "--no-latency", trace.path], of: tool)
      #expect(report.status == 0 && report.errors.isEmpty)
      return report.output.split(separator: "\n").dropFirst().map(String.init)
    }
  }

  /// Runs the demo with files in a folder that is gone when the body has returned.
  private func written(_ arguments: String..., body: (Written) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "demo-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let trace = folder.appending(path: "t.dat")
    let page = folder.appending(path: "t.html")
    let run = try DemoProcess(
      ["--json", "--trace", trace.path, "--report", page.path] + arguments)
    #expect(run.status == 0)
    // Where there are fewer processors than CPUs, a note says so.
    #expect(run.errors.isEmpty || run.errors.contains("processors"))
    var written = Written(run: run, trace: trace, page: page)
    let whole = try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    written.halves = try #require(whole["modes"] as? [[String: Any]]).compactMap {
      $0["trace"] as? [String: Any]
    }
    try body(written)
  }

  /// The rows of the page's tables of senders, once for each target: what is in the attributes.
  private func rows(_ page: URL) throws -> [(who: String, callback: String, count: Int)] {
    let html = try String(contentsOf: page, encoding: .utf8)
    let pattern =
      /<tr data-sender="([^"]*)" data-callback="([^"]*)" data-count="(\d+)" data-targets="([^"]*)">/
    var rows: [(who: String, callback: String, count: Int)] = []
    var count = 0
    for match in html.matches(of: pattern) {
      let (_, sender, callback, total, targets) = match.output
      let counts = targets.split(separator: " ").compactMap { target in
        target.split(separator: ":").last.flatMap { Int($0) }
      }
      #expect(Int(total) == counts.reduce(0, +))
      for (target, count) in zip(targets.split(separator: " "), counts) {
        rows.append(("\(sender) \(target.prefix { $0 != ":" })", String(callback), count))
      }
      count += 1
    }
    #expect(html.matches(of: /data-sender/).count == count)
    return rows
  }

  /// The counts of the last word of each line, as `awk | sort | uniq -c` tells them; an interrupt to
  /// several CPUs counts for each.
  private func callbacks(_ lines: [String]) throws -> [String: Int] {
    var counts: [String: Int] = [:]
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      guard let word = words.last, word.hasPrefix("callback=") else { continue }
      let mask = words.first { $0.hasPrefix("cpumask=") }
      let cpus = try mask.map { try CPUMask(cpuList: String($0.dropFirst(8)), width: 1024).count }
      let name = String(word.dropFirst("callback=".count)).replacing("+0x0", with: "")
      counts[name.contains(".swift:") ? "plain_call" : name, default: 0] += cpus ?? 1
    }
    return counts
  }

  /// The table, the file and the page tell the same interrupts, and the statistics too.
  @Test(.needsQueuedSignals) func tableFileAndPageAgree() throws {
    try written("--mode", "immediate", "--duration", "3", "--isolated", "1-2") { written in
      #expect(written.halves.count == 1)
      #expect(written.halves[0]["equals_statistics"] as? Bool == true)
      #expect(written.halves[0]["lost"] as? Int == 0)
      #expect(
        Set((written.halves[0]["filters"] as? [String: String] ?? [:]).keys)
          == [
            "ipi_send_cpu", "ipi_send_cpumask", "deferred_work_set", "deferred_work_merge",
            "deferred_work_drain",
          ])
      let ipis = try written.ipis(0)
      #expect(try #require(ipis["sync_core"]) > 0)
      #expect(ipis["plain_call"] != nil)
      let lines = try written.lines()
      #expect(lines.count == written.halves[0]["events"] as? Int)
      let interrupts = lines.filter { $0.contains(": ipi_send_cpu") }
      #expect(interrupts.allSatisfy { $0.contains(" churn/") }, "each event names its thread")
      #expect(try callbacks(lines) == ipis)
      #expect(lines.contains { $0.contains(" ipi_send_cpumask: ") && $0.contains("cpumask=1-2 ") })
      #expect(lines.contains { $0.contains(" ipi_send_cpu: ") })
      let rows = try rows(written.page)
      var counted: [String: Int] = [:]
      for row in rows {
        let name = row.callback.contains(".swift:") ? "plain_call" : row.callback
        counted[name, default: 0] += row.count
      }
      #expect(counted == ipis)
      #expect(Set(rows.map { "\($0.who) \($0.callback)" }).count == rows.count)
    }
  }

  @Test(
    .needsQueuedSignals,
    .enabled("trace-cmd is not installed; .ci/run installs it") {
      DemoProcess.find("trace-cmd") != nil
    })
  func theReportOfTraceCmdIsOurs() throws {
    let program = try #require(DemoProcess.find("trace-cmd"))
    try written(
      "--duration", "0.3", "--isolated", "1-2", "--filter", "context_user_exit:", "--filter",
      "deferred_work_set:", "--filter", "deferred_work_drain:", "--filter", "csd_queue_cpu:"
    ) { written in
      let theirs = try DemoProcess(["report", written.trace.path], of: program)
      #expect(theirs.status == 0)
      let lines = try written.lines()
      for event in [
        "ipi_send_cpu:", "context_user_exit:", "deferred_work_set:", "deferred_work_drain:",
        "csd_queue_cpu:",
      ] {
        #expect(lines.contains { $0.contains(event) }, "no \(event)")
      }
      // From version 3.3 on it has a column that says what was going on.
      let output = theirs.output.replacing(#/(\[[0-9]{3,}\]) [^ ]{5,8} /#) { "\($0.output.1) " }
      #expect(output.split(separator: "\n").map(String.init) == ["cpus=3"] + lines)
    }
  }

  /// One file has both halves, one after the other.
  @Test func bothHalvesAreInOneFile() throws {
    // Interrupts are few in the second half; what is sent there is not.
    try written("--duration", "0.4", "--filter", "deferred_work_set:") { written in
      #expect(written.halves.map { $0["equals_statistics"] as? Bool } == [true, true])
      let sum = try written.ipis(0).merging(written.ipis(1)) { $0 + $1 }
      let lines = try written.lines()
      #expect(try callbacks(lines) == sum)
      // A thread that attaches sends to itself what it has to begin with.
      let senders = lines.compactMap { $0.split(separator: " ").first }
        .filter { $0.hasPrefix("churn/") }
      #expect(Set(senders).count == 2, "each half has a sender of its own")
      let second = senders.drop { $0 == senders.first }
      #expect(second.allSatisfy { $0 != senders.first })
      #expect(try rows(written.page).reduce(0) { $0 + $1.count } == sum.values.reduce(0, +))
    }
  }

  /// Another filter: the table is what it lets through, and nothing is claimed.
  @Test(.needsQueuedSignals) func anotherFilterClaimsNothing() throws {
    try written(
      "--mode", "immediate", "--duration", "0.3", "--filter", "callback.function == sync_core"
    ) { written in
      #expect(written.halves[0]["equals_statistics"] is NSNull)
      let ipis = try written.ipis(0)
      #expect(Set(ipis.keys) == ["sync_core"])
      #expect(try callbacks(written.lines()) == ipis)
    }
  }

  @Test func aBadFilterEndsBeforeAnythingRuns() throws {
    let run = try DemoProcess(["--filter", "cpu & MASK{1}"])
    #expect(run.status == 64)
    #expect(run.output.isEmpty)
    #expect(
      run.errors.contains(
        "cpu & MASK{1}\n      ^\nparse_error: Invalid value (did you forget quotes)?\n"))
  }

  @Test func aFileThatCannotBeWrittenIsNamed() throws {
    let run = try DemoProcess(
      ["--mode", "deferred", "--duration", "0.1", "--trace", "/dev/null/t.dat"])
    #expect(run.status == 71)
    #expect(run.output.contains("lost: 0"), "what was found out is told all the same")
    #expect(run.errors.contains("/dev/null/t.dat"))
  }
}

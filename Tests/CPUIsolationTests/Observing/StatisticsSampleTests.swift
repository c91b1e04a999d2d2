// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Samples of statistics")
struct StatisticsSampleTests {
  @Test("the figures of registered types and of CPUs, by name, and no others")
  func samples() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let runs = Counter()
    let flush = try coordinator.register("flush", counting: runs)
    let other = try coordinator.register("other", counting: runs)
    _ = try coordinator.unregister(other)
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    for _ in 0..<3 { coordinator.send(flush, to: 1) }
    coordinator.send(flush, to: 2)
    let statistics = coordinator.statistics()
    let all = Array(statistics.samples())
    let sums = Dictionary(
      uniqueKeysWithValues: all.filter { $0.work == "flush" }.map { ($0.name, $0) })
    #expect(sums["work.sent"]?.value == 4 && sums["work.sent"]?.kind == .counter)
    #expect(sums["work.merged"]?.value == 2)
    #expect(sums["work.gone"]?.value == 1)
    #expect(sums["work.pending"]?.value == 1 && sums["work.pending"]?.kind == .gauge)
    #expect(sums["work.sent"]?.labels.map(\.0) == ["work"])
    #expect(!all.contains { $0.work == "other" })
    #expect(sums["work.oldestPending"] == nil, "no watchdog measures")
    #expect(!all.contains { $0.name == "cpu.longestDrain" })
    for number in 0...2 {
      let names = all.filter { $0.cpu == number }.map(\.name)
      #expect(names.contains("cpu.transitions") && names.contains("calls.sent"))
      #expect(Set(names).count == names.count)
    }
    let each = statistics.samples(perCPU: true).filter { $0.name == "work.sent" }
    #expect(each.map(\.value) == [0, 3, 1] && each.map(\.cpu) == [0, 1, 2])
    #expect(each[1].description == "work.sent{work=flush,cpu=1} 3.0")
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a coordinator without types has the figures of its CPUs alone")
  func empty() throws {
    let coordinator = try Coordinator(.scripted())
    #expect(coordinator.statistics().samples().allSatisfy { $0.work == nil && $0.cpu != nil })
    #expect(coordinator.workTypes.isEmpty)
  }

  @Test("the work types, with their names, as they are registered")
  func workTypes() throws {
    let coordinator = try Coordinator(.scripted())
    let runs = Counter()
    var options = WorkType.Options()
    options.delivery = .catchUp
    let first = try coordinator.register("first", counting: runs)
    let second = try coordinator.register("second", options: options, counting: runs)
    #expect(coordinator.workTypes.map(\.name) == ["first", "second"])
    #expect(coordinator.workTypes.map(\.type) == [first, second])
    _ = try coordinator.unregister(first)
    #expect(coordinator.workTypes.map(\.type) == [second])
    #expect(coordinator.statistics()[first].sent == 0)
  }

  @Test("a type of another coordinator has counted nothing here")
  func foreign() throws {
    let (one, two) = (try Coordinator(.scripted()), try Coordinator(.scripted()))
    let work = try one.register(counting: Counter())
    #expect(two.statistics()[work] == .init())
    #expect(two.statistics()[work, on: 1] == .init())
  }

  @Test("a stall report has a severity and its parts by key")
  func report() {
    var report = Coordinator.StallReport(
      kind: .kickUnanswered, cpu: 3, context: .user, work: "flush", age: .milliseconds(1500),
      sender: "Server/Routes.swift:12", occurrence: 2, kickedAgain: true)
    report.kickError = 11
    report.thread = .init(id: 7, name: "loop")
    #expect(report.severity == .warning)
    let metadata = report.metadata
    #expect(metadata["kind"] == "kickUnanswered" && metadata["cpu"] == "3")
    #expect(metadata["context"] == "user" && metadata["work"] == "flush")
    #expect(metadata["age_ms"] == "1500" && metadata["occurrence"] == "2")
    #expect(metadata["sender"] == "Server/Routes.swift:12")
    #expect(metadata["kicked_again"] == "true" && metadata["thread"] == "thread 7 (loop)")
    #expect(metadata["kick_error"]?.isEmpty == false && metadata["foreign_signal"] == nil)
    let over = Coordinator.StallReport(
      kind: .recovered, cpu: 3, context: .user, work: "flush", age: .zero, sender: nil,
      occurrence: 2, kickedAgain: false)
    #expect(over.severity == .notice && over.metadata.count == 6)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Coordinator.StallReport")
struct StallReportTests {
  func report(
    _ kind: Coordinator.StallReport.Kind, sender: String? = nil, kickedAgain: Bool = false
  )
    -> Coordinator.StallReport
  {
    Coordinator.StallReport(
      kind: kind, cpu: 3, context: .user, work: "flush", age: .milliseconds(5_200), sender: sender,
      occurrence: 2, kickedAgain: kickedAgain)
  }

  @Test("every kind is one line that names the CPU, the age and the occurrence")
  func lines() {
    let kinds: [Coordinator.StallReport.Kind] = [
      .kernelWithoutSafePoint, .kickUnanswered, .handlerRunning, .helperHoldsPin, .recovered,
    ]
    let lines = kinds.map { report($0).description }
    #expect(Set(lines).count == kinds.count)
    for line in lines {
      #expect(line.hasPrefix("CPUIsolation: CPU 3 (user) "))
      #expect(line.contains("5200 ms"))
      #expect(line.hasSuffix("(#2)"))
      #expect(!line.contains("\n"))
    }
  }

  @Test("the sender and the second kick are told where there are any")
  func details() {
    let line = report(.kickUnanswered, sender: "A/B.swift:7", kickedAgain: true).description
    #expect(line.contains("flush waits, sent from A/B.swift:7; kicked again"))
    #expect(!report(.kickUnanswered).description.contains("sent from"))
  }

  @Test("without a closure to tell, the line goes to standard error")
  func standardError() async throws {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardErrorContent]
    ) {
      var configuration = Coordinator.Configuration.scripted()
      configuration.watchdog = .init()
      configuration.watchdog?.interval = .milliseconds(1)
      configuration.watchdog?.stallThreshold = .milliseconds(10)
      let coordinator = try Coordinator(configuration)
      let cpu = try ScriptedThread(coordinator, on: 1)
      let work = try coordinator.register("flush") { _ in }
      coordinator.send(work, to: 1)
      #expect(
        eventually { coordinator.statistics()[work].oldestPending ?? .zero > .milliseconds(200) })
      try cpu.end()
    }
    let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(text.contains("CPUIsolation: CPU 1 (kernel) is in kernel"))
    #expect(text.contains("flush waits, sent from CPUIsolationTests/StallReportTests.swift:"))
  }
}

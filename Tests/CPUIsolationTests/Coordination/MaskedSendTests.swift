// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// What a send to many says of each target, and counts for it.
@Suite("Masked sends")
struct MaskedSendTests {
  let coordinator: Coordinator
  let work: WorkType
  let runs = Counter()

  init() throws {
    // Numbers in both words of a mask, without the memory of all between them.
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2, 3, 70, 71])
    configuration.pinning = .none
    configuration.watchdog = nil
    coordinator = try Coordinator(configuration)
    work = try coordinator.register(counting: runs)
  }

  /// Sends twice to CPUs in user, one in kernel between them, and one that is nobody's.
  private func sendTwice(_ send: (CPUMask) -> Report<SendOutcome>) throws {
    let threads = try [1, 2, 3, 70].map { try ScriptedThread(coordinator, on: $0) }
    for (place, thread) in threads.enumerated() where place != 1 { try thread.enterUser() }
    let all: CPUMask = [1, 2, 3, 70, 71]
    let first = send(all)
    #expect(first.description == "deferred 1,3,70, queued 2, gone 71")
    #expect(first.covered == [1, 2, 3, 70] && first.refusal == nil)
    let second = send(all)
    #expect(second.description == "merged 1-3,70, gone 71")
    for (place, thread) in threads.enumerated() where place != 1 { try thread.enterKernel() }
    try threads[1].safePoint()
    #expect(runs.value == 4)
    let statistics = coordinator.statistics()
    for cpu in [1, 2, 3, 70] {
      let counts = statistics[work, on: cpu]
      #expect(counts.sent == 2 && counts.merged == 1 && counts.executed == 1, "\(counts)")
      #expect(counts.deferred == (cpu == 2 ? 0 : 1) && counts.queued == (cpu == 2 ? 1 : 0))
    }
    #expect(statistics[work, on: 71].sent == 2)
    coordinator.expectBalance(of: work, sent: 10)
    for thread in threads { try thread.end() }
  }

  @Test("by a sender: each target has one outcome, and one count")
  func bySender() throws {
    let sender = try coordinator.makeSender()
    try sendTwice { sender.send(work, to: $0) }
  }

  @Test("by a thread without a slot of its own: the same")
  func shared() throws {
    try sendTwice { coordinator.send(work, to: $0) }
  }

  @Test("by a thread without a slot of its own, one by one: the same")
  func oneByOne() throws {
    let threads = try [1, 2].map { try ScriptedThread(coordinator, on: $0) }
    try threads[0].enterUser()
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(coordinator.send(work, to: 2) == .queued)
    #expect(coordinator.send(work, to: 71) == .gone)
    let counts = coordinator.statistics()[work, on: 1]
    #expect(counts.sent == 2 && counts.merged == 1 && counts.deferred == 1)
    try threads[0].enterKernel()
    try threads[1].safePoint()
    coordinator.expectBalance(of: work, sent: 4)
    for thread in threads { try thread.end() }
  }

  @Test("nothing is refused where nobody is addressed")
  func nobody() throws {
    #expect(try coordinator.unregister(work).isEmpty)
    #expect(coordinator.send(work, to: CPUMask()).refusal == nil)
    #expect(coordinator.send(work, to: [1, 70]).refusal == .rejected(.unregistered))
  }

  @Test("a report's planes give back what was filed, place by place", arguments: 0..<8)
  func planes(place: Int) {
    var planes = OutcomePlanes()
    planes.file(1 << 63 | 1, at: place)
    planes.file(2, at: 7 - place)
    for other in 0..<8 {
      let expected: UInt64 = other == place ? 1 << 63 | 1 : other == 7 - place ? 2 : 0
      #expect(planes.targets(at: other) == expected)
    }
  }
}

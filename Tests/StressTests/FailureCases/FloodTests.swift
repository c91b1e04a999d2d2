// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// A million sends to a CPU that nobody ever was: nothing is left behind, and nothing grows.
  @Test func targetWasNeverStarted() throws {
    let coordinator = try Coordinator.quiet(isolated: [0, 1])
    let runs = SharedCounter()
    let work = try coordinator.register("work") { _ in runs.add() }
    let violations = Violations()
    let senders = 2
    let sends = StressDuration.rounds(500_000)
    func flood(_ count: Int) {
      TestThread.run(senders) { index in
        guard let sender = try? coordinator.makeSender() else {
          return violations.note("no sender")
        }
        for _ in 0..<count where sender.send(work, to: 1) != .gone {
          violations.note("a send to nobody was accepted")
        }
      }
    }
    flood(100)
    let (rounds, growth) = ResidentMemory.settle { flood(sends) }
    violations.check(growth == nil, growth ?? "")
    let counts = coordinator.statistics()[work]
    violations.check(counts.sent == UInt64(senders * (rounds * sends + 100)), "\(counts)")
    violations.check(counts.sent == counts.gone + counts.merged, "\(counts)")
    let first = try coordinator.attach(to: 1)
    first.inUser {}
    violations.check(runs.value == 0, "the first thread found \(runs.value) runs waiting for it")
    first.detach()
    violations.expectNone("\(senders) senders, \(sends) sends each")
  }

  /// A million sends to a CPU that stays in user: one run, and the other types get their turn.
  @Test func targetStaysInUser() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let flooded = SharedCounter()
    let other = SharedCounter()
    let flood = try coordinator.register("flood") { _ in flooded.add() }
    let rare = try coordinator.register("rare") { _ in other.add() }
    let local = try coordinator.attach(to: 0)
    let sends = StressDuration.rounds(300_000)
    var rounds = 0
    local.inUser {
      let memory = ResidentMemory.settle {
        TestThread.run(2) { index in
          for _ in 0..<sends { coordinator.send(flood, to: 0) }
          if index == 0 { coordinator.send(rare, to: 0) }
        }
      }
      rounds = memory.rounds
      #expect(memory.growth == nil)
      #expect(flooded.value == 0)
    }
    #expect(flooded.value == 1)
    #expect(other.value == 1)
    let counts = coordinator.statistics()[flood]
    #expect(counts.deferred == 1)
    #expect(counts.merged == UInt64(2 * rounds * sends - 1))
    local.detach()
  }

  /// Senders that never stop cannot keep a CPU in its drain, and do not starve another type.
  @Test func sendersNeverStop() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let stop = SharedFlag()
    let other = SharedCounter()
    let flood = try coordinator.register("flood") { _ in }
    let rare = try coordinator.register("rare") { _ in other.add() }
    let senders = (0..<2).map { _ in
      TestThread {
        while !stop.isSet { for _ in 0..<100 { coordinator.send(flood, to: 0) } }
      }
    }
    let local = try coordinator.attach(to: 0)
    for round in 1...300 {
      local.inUser {
        let outcome = coordinator.send(rare, to: 0)
        #expect(outcome == .deferred)
      }
      #expect(other.value == round)
    }
    local.detach()
    stop.set()
    for sender in senders { sender.join() }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// Senders that found nobody, and come back to tidy up when somebody has attached meanwhile.
  ///
  /// A few threads send, or post, while the slot is empty. Some of them lose the processor between
  /// their look, which says offline, and taking their bit or their call back. In the meantime a
  /// thread attaches, and somebody else sends to it: that must not be taken back with theirs.
  @Suite struct LateSender {
    private static let storms = 3

    /// Attaches to CPU 0 again and again, runs `act` while the CPU is in user, then `check`.
    private static func attachAgainAndAgain(
      _ coordinator: Coordinator, storm: @escaping @Sendable (SharedFlag) -> Void,
      act: @escaping @Sendable () -> Void, check: (Int) -> Void
    ) throws {
      let stop = SharedFlag()
      let storms = (0..<Self.storms).map { _ in TestThread { storm(stop) } }
      defer {
        stop.set()
        for storm in storms { storm.join() }
      }
      let inUser = SharedCounter()
      let acted = SharedCounter()
      let actor = TestThread {
        var round = 0
        while true {
          round += 1
          while inUser.value < round {
            if stop.isSet { return }
            sched_yield()
          }
          act()
          acted.add()
        }
      }
      let until = Until(StressDuration.ofCase(0.7))
      var round = 0
      while !until.isOver {
        round += 1
        let local = try coordinator.attach(to: 0)
        local.inUser {
          inUser.add()
          while acted.value < round { sched_yield() }
          // Whoever was late has time to come.
          for _ in 0..<4 { sched_yield() }
        }
        check(round)
        local.detach()
        for _ in 0..<4 { sched_yield() }
      }
      stop.set()
      actor.join()
    }

    @Test func takesBackNobodyElsesWork() throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let ledger = DeferralLedger(cpus: 1, types: 1, writers: 1)
      let probe = HandlerProbe(ledger, type: 0, coordinator)
      let work = try probe.register("work", .init())
      let violations = Violations()
      try Self.attachAgainAndAgain(coordinator) { stop in
        guard let sender = try? coordinator.makeSender() else { return }
        while !stop.isSet {
          if coordinator.context(of: 0) == .offline {
            sender.send(work, to: 0)
          } else {
            sched_yield()
          }
        }
      } act: {
        let number = ledger.issue(by: 0, type: 0, cpu: 0)
        let outcome = coordinator.send(work, to: 0)
        violations.check(
          outcome == .deferred || outcome == .merged, "a send to CPU 0 in user was \(outcome)")
        ledger.promise(number, by: 0, type: 0, cpu: 0)
      } check: { round in
        ledger.check(
          ledger.promises(to: 0), of: 0, after: "user { } in round \(round)", violations)
      }
      violations.expectNone("\(Self.storms) senders")
      withExtendedLifetime(probe) {}
    }

    @Test func takesBackNobodyElsesCall() throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let violations = Violations()
      let counts = CallCounts()
      try Self.attachAgainAndAgain(coordinator) { stop in
        let call = unsafe CrossCall(context: nil) { _, _ in }
        while !stop.isSet {
          if coordinator.context(of: 0) == .offline {
            coordinator.post(call, on: 0)
          } else {
            sched_yield()
          }
        }
        _ = eventually {
          if let local = try? coordinator.attach(to: 0) { local.detach() }
          return !call.isInFlight
        }
      } act: {
        let report = unsafe coordinator.post(
          on: [0], context: Unmanaged.passUnretained(counts).toOpaque()
        ) { counts, _ in
          _ = unsafe Unmanaged<CallCounts>.fromOpaque(counts.unsafelyUnwrapped)
            ._withUnsafeGuaranteedRef { $0.ran.add() }
        }
        violations.check(report[.queued] == [0], "a post to CPU 0 in user was \(report)")
        counts.queued.add()
      } check: { round in
        let (ran, queued) = (counts.ran.value, counts.queued.value)
        violations.check(ran == queued, "round \(round): \(queued) calls were queued, \(ran) ran")
      }
      violations.expectNone("\(Self.storms) posters")
    }

    private final class CallCounts: Sendable {
      let queued = SharedCounter()
      let ran = SharedCounter()
    }
  }
}

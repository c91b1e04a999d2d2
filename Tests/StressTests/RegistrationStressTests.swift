// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// Work types that come and go while they are sent: a handler's memory is never freed under it.
  @Suite struct Registration {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var senders: Int
      var isolated: Int
      var interrupter = Interrupter.poll
      var testDescription: String {
        "seed \(seed): \(senders) senders, \(isolated) isolated, \(interrupter)"
      }
    }

    @Test(arguments: [
      Case(seed: 61, senders: 2, isolated: 1),
      Case(seed: 62, senders: 6, isolated: 2),
      Case(seed: 63, senders: 2, isolated: 2, interrupter: .signal),
    ])
    func handlersOutliveTheirRuns(_ test: Case) throws {
      var configuration = Coordinator.Configuration(
        housekeeping: [], isolated: CPUMask(0..<test.isolated))
      configuration.isolatedInterrupter = test.interrupter
      configuration.pinning = .none
      configuration.watchdog?.report = { _ in }
      let coordinator = try Coordinator(configuration)
      let violations = Violations()
      let stop = SharedFlag()
      let ownersStop = SharedFlag()
      let current = Guarded<WorkType?>(nil)
      let owners = try (0..<test.isolated).map { cpu in
        try coordinator.launch(on: cpu) { local in
          var random = SeededGenerator(seed: test.seed, stream: cpu)
          while !ownersStop.isSet {
            local.inUser {
              if random.oneIn(4) { sched_yield() }
              local.poll()
            }
            if random.oneIn(4) { local.safePoint() }
          }
        }
      }
      let senders = (0..<test.senders).map { index in
        TestThread {
          var random = SeededGenerator(seed: test.seed, stream: 100 + index)
          let urgencies: [WorkType.Urgency] = [.deferrable, .deferrable, .immediate, .onBehalf]
          while !stop.isSet {
            guard let work = current.withLock({ $0 }) else { continue }
            for _ in 0..<50 {
              let outcome = coordinator.send(
                work, to: random.below(test.isolated), urgency: urgencies[random.below(4)])
              switch outcome {
              case .gone, .skipped, .ranInline, .rejected(.closed):
                violations.note("a send to an attached CPU was \(outcome)")
              default: break
              }
            }
            if random.oneIn(4) { sched_yield() }
          }
        }
      }
      var graveyard: [MortalHandler] = []
      var random = SeededGenerator(seed: test.seed, stream: 999)
      let until = Until(StressDuration.ofCase(0.7))
      // More rounds than there are bits, so that bits are used again.
      while !until.isOver || graveyard.count < 2 * WorkType.capacity {
        let handler = MortalHandler()
        var options = WorkType.Options()
        options.isInterruptSafe = true
        options.mayRunOnBehalf = true
        options.expectsManySenders = random.oneIn(3)
        let work = try handler.register(with: coordinator, "mortal \(graveyard.count)", options)
        current.withLock { $0 = work }
        for _ in 0..<random.below(20) { sched_yield() }
        current.withLock { $0 = nil }
        try coordinator.unregister(work, timeout: StressDuration.generous)
        violations.check(
          coordinator.send(work, to: 0) == .rejected(.unregistered),
          "work could be sent after it had been unregistered")
        handler.die()
        graveyard.append(handler)
      }
      stop.set()
      for sender in senders { sender.join() }
      // A sender on its way must still find somebody.
      ownersStop.set()
      for owner in owners { owner.join() }
      let late = graveyard.count { $0.hasRunDead }
      violations.check(late == 0, "\(late) of \(graveyard.count) handlers ran unregistered")
      violations.expectNone(test.testDescription)
    }
  }
}

/// A handler that is dead once its type has been unregistered.
// Sendable: one word is plain, and whether it is shared properly is what the test is about.
@safe
private final class MortalHandler: @unchecked Sendable {
  private static let alive: UInt64 = 0x616c_6976_6561_6c69
  private static let dead: UInt64 = 0xdead_dead_dead_dead
  private let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
  private let lateRuns = SharedCounter()

  init() { unsafe word.initialize(to: Self.alive) }

  deinit { unsafe word.deallocate() }

  private let runs = SharedCounter()

  /// Looks at the beginning and at the end: a run takes a while.
  private func run() {
    let wasAlive = unsafe word.pointee == Self.alive
    if runs.add() % 4 == 0 { sched_yield() }
    if unsafe !wasAlive || word.pointee != Self.alive { lateRuns.add() }
  }

  func register(
    with coordinator: Coordinator, _ name: String, _ options: WorkType.Options
  ) throws -> WorkType {
    try unsafe coordinator.register(
      name, options: options, context: Unmanaged.passUnretained(self).toOpaque()
    ) { me, _ in
      unsafe Unmanaged<MortalHandler>.fromOpaque(me.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.run() }
    }
  }

  /// Nobody may run it any more: a sanitizer takes this plain write to be a race with a run that is going on.
  func die() { unsafe word.pointee = Self.dead }

  var hasRunDead: Bool { lateRuns.value > 0 }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests {
  /// Plain memory on both sides of a send or a call: what the sender wrote before is seen by the
  /// handler, and what the handler wrote is seen by whoever waited for it. After the witnesses of Linux's scftorture.
  ///
  /// The words are plain on purpose: ThreadSanitizer has to be content with the library's orderings alone.
  @Suite struct MemoryOrder {
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
      Case(seed: 101, senders: 1, isolated: 1),
      Case(seed: 102, senders: 2, isolated: 2),
      Case(seed: 103, senders: 4, isolated: 2, interrupter: .signal),
      Case(seed: 104, senders: 8, isolated: 4),
    ])
    func bothDirections(_ test: Case) throws {
      var configuration = Coordinator.Configuration(
        housekeeping: [], isolated: CPUMask(0..<test.isolated))
      configuration.isolatedInterrupter = test.interrupter
      configuration.pinning = .none
      configuration.watchdog?.report = { _ in }
      let coordinator = try Coordinator(configuration)
      let violations = Violations()
      let stop = SharedFlag()
      // One type per sender: a handler reads what its one sender wrote.
      let witnesses = (0..<test.senders).map { _ in PlainWitness(cpus: test.isolated) }
      var options = WorkType.Options()
      options.isInterruptSafe = true
      options.mayRunOnBehalf = true
      let works = WorkList(capacity: test.senders)
      for (index, witness) in witnesses.enumerated() {
        options.expectsManySenders = index % 2 == 1
        works.append(try witness.register(with: coordinator, options))
      }
      let owners = try (0..<test.isolated).map { cpu in
        try coordinator.launch(on: cpu) { local in
          var random = SeededGenerator(seed: test.seed, stream: cpu)
          while !stop.isSet {
            local.inUser {
              for _ in 0..<random.below(50) where stop.isSet { return }
              if random.oneIn(4) { sched_yield() }
              local.poll()
            }
          }
        }
      }
      let until = Until(StressDuration.ofCase(0.5))
      TestThread.run(test.senders) { index in
        var random = SeededGenerator(seed: test.seed, stream: 100 + index)
        let witness = witnesses[index]
        var number: UInt64 = 0
        while !until.isOver {
          number += 1
          let cpu = random.below(test.isolated)
          let isSeen: Bool
          witness.ask(number, cpu)
          if random.oneIn(3) {
            let report = coordinator.call(
              on: [cpu], timeout: StressDuration.generous, isInterruptSafe: random.oneIn(2)
            ) { witness.answer($0) }
            isSeen = report[.executed] == [cpu]
          } else {
            let urgencies: [WorkType.Urgency] = [.deferrable, .immediate, .onBehalf]
            let ticket = coordinator.sendWithTicket(
              works[index], to: [cpu], urgency: urgencies[random.below(3)])
            isSeen = ticket.wait(until: .executed, timeout: StressDuration.generous) == .settled
          }
          violations.check(isSeen, "CPU \(cpu) did not answer")
          if !isSeen { return }
          let answer = witness.answer(of: cpu)
          violations.check(
            answer == PlainWitness.answer(to: number),
            "asked \(number), CPU \(cpu) answered \(answer)")
        }
      }
      stop.set()
      for owner in owners { owner.join() }
      violations.expectNone(test.testDescription)
    }
  }
}

/// A question and an answer per CPU, in plain memory on a line of their own.
// Sendable: the words are plain, and whether they are shared properly is what the test is about.
@safe
private final class PlainWitness: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>
  private static let stride = 16

  init(cpus: Int) {
    unsafe words = .allocate(capacity: cpus * Self.stride)
    unsafe words.initialize(repeating: 0, count: cpus * Self.stride)
  }

  deinit { unsafe words.deallocate() }

  func ask(_ number: UInt64, _ cpu: Int) { unsafe words[cpu * Self.stride] = number }

  func answer(_ cpu: Int) {
    unsafe words[cpu * Self.stride + 1] = Self.answer(to: words[cpu * Self.stride])
  }

  func answer(of cpu: Int) -> UInt64 { unsafe words[cpu * Self.stride + 1] }

  static func answer(to number: UInt64) -> UInt64 { ~number &* 3 }

  func register(
    with coordinator: Coordinator, _ options: WorkType.Options
  ) throws -> WorkType {
    try unsafe coordinator.register(
      "witness", options: options, context: Unmanaged.passUnretained(self).toOpaque()
    ) { me, cpu in
      unsafe Unmanaged<PlainWitness>.fromOpaque(me.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.answer(cpu) }
    }
  }
}

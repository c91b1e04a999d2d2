// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// The narrow windows of a send, with nothing in the way: one sender, one CPU, one word.
  ///
  /// A window of a few nanoseconds is only hit by optimised code: these cases find most in release.
  @Suite struct NarrowWindows {
    /// One writer's numbers, each on a line of its own.
    private final class Numbers: Sendable {
      private let words = WordTable(64)

      var datum: UInt64 {
        get { words.load(0) }
        set { words.store(0, newValue) }
      }
      var promised: UInt64 {
        get { words.loadAcquiring(16) }
        set { words.storeReleasing(16, newValue) }
      }
      var deferred: UInt64 {
        get { words.loadAcquiring(17) }
        set { words.storeReleasing(17, newValue) }
      }
      var seen: UInt64 {
        get { words.load(32) }
        set { words.store(32, newValue) }
      }
      var entries: UInt64 {
        get { words.loadAcquiring(48) }
        set { words.storeReleasing(48, newValue) }
      }
    }

    @Test(arguments: [false, true])
    func everySendIsSeen(expectsManySenders: Bool) throws {
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: [0]))
      let numbers = Numbers()
      var options = WorkType.Options()
      options.expectsManySenders = expectsManySenders
      let work = try unsafe coordinator.register(
        "work", options: options, context: Unmanaged.passUnretained(numbers).toOpaque()
      ) { numbers, _ in
        unsafe Unmanaged<Numbers>.fromOpaque(numbers.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { $0.seen = $0.datum }
      }
      let stop = SharedFlag()
      let lost = SharedCounter()
      let stale = SharedCounter()
      let merged = SharedCounter()
      let owner = try coordinator.launch(on: 0) { local in
        var entries: UInt64 = 0
        while !stop.isSet {
          local.enterUser()
          // It holds the datum's line, so that the sender's write of it takes a while to be seen.
          for _ in 0..<8 where numbers.datum == .max { return }
          let promised = numbers.promised
          local.enterKernel()
          if numbers.seen < promised { lost.add() }
          if numbers.seen < numbers.deferred { stale.add() }
          entries += 1
          numbers.entries = entries
        }
      }
      let until = Until(StressDuration.ofCase(0.7))
      TestThread.run(1) { _ in
        guard let sender = try? coordinator.makeSender() else { return }
        var random = SeededGenerator(seed: 111)
        var number: UInt64 = 0
        while !until.isOver {
          for _ in 0..<100 {
            number += 1
            numbers.datum = number
            let outcome = sender.send(work, to: 0)
            if outcome == .gone { return }
            if outcome == .deferred { numbers.deferred = number }
            numbers.promised = number
            // Now and then nothing follows for a while: what follows would make good for what was lost.
            if outcome == .merged {
              merged.add()
            } else if random.oneIn(2) {
              continue
            }
            let entries = numbers.entries
            for _ in 0..<10_000 where numbers.entries < entries + 2 && !stop.isSet { continue }
          }
        }
      }
      stop.set()
      owner.join()
      #expect(lost.value == 0, "of \(numbers.promised) sends, \(merged.value) merged")
      #expect(stale.value == 0, "of \(numbers.promised) sends")
    }

    /// A signal that finds the thread in kernel leaves it to the thread, which then stays in user until it is served.
    @Test(.needsQueuedSignals) func kicksThatComeInKernelAreNotForgotten() throws {
      let coordinator = try Coordinator.quiet(isolated: [0]) {
        $0.isolatedInterrupter = .signal
        $0.watchdog = nil
      }
      let stop = SharedFlag()
      let answers = SharedCounter()
      let owner = try coordinator.launch(on: 0) { local in
        var random = SeededGenerator(seed: 112)
        var seen = 0
        while !stop.isSet {
          local.inUser {
            while answers.value == seen, !stop.isSet {
              // ThreadSanitizer delivers signals inside calls that it intercepts.
              if StressDuration.isThreadSanitized { usleep(1) }
            }
          }
          seen = answers.value
          for _ in 0..<random.below(300) where stop.isSet { break }
        }
      }
      let until = Until(StressDuration.ofCase(0.5))
      var random = SeededGenerator(seed: 113)
      while !until.isOver {
        for _ in 0..<random.below(300) where stop.isSet { break }
        let report = coordinator.call(
          on: [0], timeout: .seconds(30), isInterruptSafe: true
        ) { _ in answers.add() }
        #expect(report[.executed] == [0])
        if report[.executed] != [0] { break }
      }
      stop.set()
      owner.join()
    }
  }
}

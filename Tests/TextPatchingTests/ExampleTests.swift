// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// The whole of it, as a program would have it: a housekeeper patches, an isolated loop calls,
  /// and checks that what it executed was legal at that moment.
  @Suite struct Example {
    @Test func anIsolatedLoopIsPatched() throws {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .wherePossible
      let coordinator = try Coordinator(configuration)
      let patcher = try TextPatcher(coordinator: coordinator)
      let route = try patcher.makeSite("route", original: { first, _ in first })

      // What a call may return: the lower half as before, the upper half as after.
      let legal = Legal(before: 0, after: 0)
      let stop = Flag()
      let thread = try coordinator.launch(on: 1) { cpu in
        var calls = 0
        var illegal = 0
        while !stop.isRaised {
          cpu.inUser { for _ in 0..<100 where stop.isRaised { return } }  // the hot loop
          let first = legal.load()
          let hop = route(on: cpu, 0)
          let second = legal.load()
          calls += 1
          if first == second, hop != first.before, hop != first.after { illegal += 1 }
        }
        #expect(calls > 0 && illegal == 0)
      }

      var sum = (patches: 0, deferred: 0, executed: 0, traps: 0)
      for turn in 0..<500 {
        legal.store(before: turn % 2, after: 1 - turn % 2)
        let report = try patcher.patch(
          route, to: turn % 2 == 0 ? .jump(to: { first, _ in first + 1 }) : .nop)
        legal.store(before: 1 - turn % 2, after: 1 - turn % 2)
        sum.patches += report.sites
        sum.deferred += report.deferred
        sum.executed += report.executed
        sum.traps += report.traps
      }
      stop.raise()
      thread.join()
      #expect(sum.patches == 500)
      // The CPU called the site before most of them, so it was looked at in each round.
      #expect(sum.deferred + sum.executed > 0)
      // Nobody sent it a signal for it: it ran what was deferred when it came in.
      let statistics = coordinator.statistics()
      #expect(statistics[patcher.work, on: 1].interrupted == 0)
      #expect(statistics[cpu: 1].idleInterrupts == 0)
    }

    /// Both values in one word, so that they are read together.
    private final class Legal: Sendable {
      private let word: Atomic<Int>
      init(before: Int, after: Int) { word = Atomic(before | after << 32) }
      func store(before: Int, after: Int) {
        word.store(before | after << 32, ordering: .sequentiallyConsistent)
      }
      func load() -> Pair {
        let value = word.load(ordering: .sequentiallyConsistent)
        return Pair(before: value & 0xffff_ffff, after: value >> 32)
      }
    }

    private struct Pair: Equatable {
      let before: Int
      let after: Int
    }
  }
}

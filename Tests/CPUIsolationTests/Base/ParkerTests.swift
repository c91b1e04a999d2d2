// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// A parker at an address that does not move.
// Sendable: `unpark` is for any thread, and in each test one thread parks.
private final class ParkerBox: @unchecked Sendable {
  let parker = Parker()
}

@Suite("Parker")
struct ParkerTests {
  @Test("a token that comes first is not lost")
  func tokenFirst() throws {
    let box = ParkerBox()
    box.parker.unpark()
    let step = PlainThread.start { box.parker.park(until: Deadline(after: nil)) }
    try step.value()
  }

  @Test("tokens do not pile up")
  func oneToken() {
    let box = ParkerBox()
    for _ in 0..<3 { box.parker.unpark() }
    box.parker.park(until: Deadline(after: nil))
    let start = ContinuousClock.now
    box.parker.park(until: Deadline(after: .milliseconds(20)))
    #expect(ContinuousClock.now - start >= .milliseconds(19))
  }

  @Test("a sleeper is let go by another thread")
  func sleeps() throws {
    let box = ParkerBox()
    let (begun, mayGo) = (Flag(), Flag())
    let step = PlainThread.start {
      begun.raise()
      // A park may return early: the words that matter decide.
      while !mayGo.isRaised { box.parker.park(until: Deadline(after: nil)) }
    }
    begun.wait()
    mayGo.raise()
    box.parker.unpark()
    try step.value()
  }

  @Test("a park ends at its deadline, and the parker is as new", arguments: [0, 1, 20])
  func timeout(milliseconds: Int) {
    let box = ParkerBox()
    let start = ContinuousClock.now
    box.parker.park(until: Deadline(after: .milliseconds(milliseconds)))
    let elapsed = ContinuousClock.now - start
    #expect(elapsed >= .milliseconds(milliseconds))
    #expect(elapsed < .seconds(20))
    box.parker.unpark()
    box.parker.park(until: Deadline(after: nil))
  }

  @Test("two threads that wake each other miss no wake-up, and see what was written before it")
  func pingPong() throws {
    let rounds = 2_000
    let game = Game()
    let step = PlainThread.start { game.play(side: 1, rounds: rounds) }
    game.play(side: 0, rounds: rounds)
    try step.value()
    #expect(game.turn.load(ordering: .relaxed) == 2 * rounds)
  }

  /// Two sides that take turns, each asleep while it is the other's.
  private final class Game: Sendable {
    let turn = Atomic<Int>(0)
    private let boxes = [ParkerBox(), ParkerBox()]

    func play(side: Int, rounds: Int) {
      for round in 0..<rounds {
        // Relaxed: that the word is seen is the parker's doing.
        while turn.load(ordering: .relaxed) != 2 * round + side {
          boxes[side].parker.park(until: Deadline(after: nil))
        }
        turn.store(2 * round + side + 1, ordering: .relaxed)
        boxes[1 - side].parker.unpark()
      }
    }
  }
}

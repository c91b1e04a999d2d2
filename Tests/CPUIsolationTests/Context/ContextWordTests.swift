// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("ContextWord")
struct ContextWordTests {
  static let widths = [2, 3, 60]
  static let pairs = CPUContext.allCases.flatMap { from in
    CPUContext.allCases.map { (from, $0) }
  }

  /// A word in this context, some transitions after the beginning.
  static func word(in context: CPUContext, width: Int, rounds: Int = 1) throws -> ContextWord {
    let unit = ContextWord.counterUnit(width: width)
    var word = ContextWord.offline
    for _ in 0..<rounds {
      word = try #require(word.moved(to: .kernel, unit: unit))
      word = try #require(word.moved(to: .user, unit: unit))
    }
    word = try #require(word.moved(to: .kernel, unit: unit))
    return context == .kernel ? word : try #require(word.moved(to: context, unit: unit))
  }

  @Test("a CPU that nobody has attached to is offline, and its counter is zero")
  func first() {
    #expect(ContextWord.offline.context == .offline)
    #expect(ContextWord.offline.counter() == 0)
    #expect(ContextWord.offline.counter(width: 2) == 0)
  }

  @Test("the table: kernel lies between any two other contexts", arguments: widths)
  func table(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    for (from, to) in Self.pairs {
      let word = try Self.word(in: from, width: width)
      let moved = word.moved(to: to, unit: unit)
      guard (from == .kernel) != (to == .kernel) else {
        #expect(moved == nil, "\(from) to \(to)")
        continue
      }
      #expect(moved?.context == to)
      let next = (word.counter(width: width) + 1) % (1 << UInt64(width))
      #expect(moved?.counter(width: width) == next, "\(from) to \(to)")
    }
  }

  @Test("the counter is odd in kernel and even elsewhere, over many wraps", arguments: widths)
  func parity(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    let away: [CPUContext] = [.user, .idle, .guest, .offline]
    var word = ContextWord.offline
    for round in 0..<40 {
      word = try #require(word.moved(to: .kernel, unit: unit))
      #expect(word.context == .kernel)
      #expect(word.counter(width: width) % 2 == 1)
      word = try #require(word.moved(to: away[round % 4], unit: unit))
      #expect(word.context == away[round % 4])
      #expect(word.counter(width: width) % 2 == 0)
    }
  }

  @Test("a counter of two bits comes round after four transitions", arguments: [2, 3])
  func wraps(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    let first = try Self.word(in: .user, width: width)
    var word = first
    for step in 1...(1 << width) {
      word = try #require(word.moved(to: step % 2 == 1 ? .kernel : .user, unit: unit))
      #expect((word == first) == (step == 1 << width))
    }
  }

  @Test("nothing is ever written between a narrow counter and the context", arguments: [2, 3])
  func gap(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    var word = ContextWord.offline
    for step in 0..<32 {
      word = try #require(word.moved(to: step % 2 == 0 ? .kernel : .guest, unit: unit))
      #expect(word.rawValue & ~ContextWord.contextMask & (unit - 1) == 0)
    }
  }

  @Test("a quiescent state is two steps, in kernel alone", arguments: widths)
  func quiescent(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    for context in CPUContext.allCases {
      let word = try Self.word(in: context, width: width)
      let quiesced = word.quiesced(unit: unit)
      guard context == .kernel else {
        #expect(quiesced == nil)
        continue
      }
      #expect(quiesced?.context == .kernel)
      #expect(
        quiesced?.counter(width: width) == (word.counter(width: width) + 2) % (1 << UInt64(width)))
      #expect(quiesced?.hasPassed(since: word) == true)
    }
  }

  @Test(
    "what entry and exit add is what the table says",
    arguments: [CPUContext.user, .idle, .guest, .offline])
  func additions(context: CPUContext) throws {
    let kernel = try Self.word(in: .kernel, width: 60)
    let away = try #require(kernel.moved(to: context))
    #expect(kernel.rawValue &+ ContextWord.exit(to: context) == away.rawValue)
    #expect(
      away.moved(to: .kernel)?.rawValue == away.rawValue &+ ContextWord.entry(from: context))
  }

  @Test("the last transition of all wraps to zero and keeps the context")
  func wrapsAtItsWidth() throws {
    let word = ContextWord(rawValue: 0 &- ContextWord.counterUnit)
    #expect(word.context == .kernel)
    #expect(word.counter() == (1 << 60) - 1)
    let moved = try #require(word.moved(to: .user))
    #expect(moved.context == .user)
    #expect(moved.counter() == 0)
  }

  @Test(
    "a CPU outside kernel has passed a grace period, whatever it was seen as", arguments: widths)
  func passedOutside(width: Int) throws {
    for (before, now) in Self.pairs where now != .kernel {
      let snapshot = try Self.word(in: before, width: width)
      let word = try Self.word(in: now, width: width)
      #expect(word.hasPassed(since: snapshot))
    }
  }

  @Test(
    "a CPU in kernel has passed when it has moved; a counter that came round delays",
    arguments: widths)
  func passedInKernel(width: Int) throws {
    let unit = ContextWord.counterUnit(width: width)
    let snapshot = try Self.word(in: .kernel, width: width)
    #expect(!snapshot.hasPassed(since: snapshot))
    var word = snapshot
    for roundTrip in 1...4 {
      word = try #require(word.moved(to: .user, unit: unit)?.moved(to: .kernel, unit: unit))
      let isAlias = width < 60 && 2 * roundTrip % (1 << width) == 0
      #expect(word.hasPassed(since: snapshot) == !isAlias)
    }
  }

  @Test("patterns that no transition makes are no context", arguments: [5, 6, 7] as [UInt64])
  func unknown(pattern: UInt64) {
    let word = ContextWord(rawValue: pattern | ContextWord.counterUnit)
    #expect(word.context == nil)
    #expect(word.moved(to: .kernel) == nil)
    #expect(word.moved(to: .user) == nil)
    #expect(word.quiesced() == nil)
    #expect(word.description == "? #1")
  }

  @Test("a word describes itself")
  func description() throws {
    #expect(ContextWord.offline.description == "offline #0")
    #expect(try Self.word(in: .kernel, width: 60).description == "kernel #3")
    #expect(ContextWord.counterUnit(width: Limits.counterBits) == ContextWord.counterUnit)
  }
}

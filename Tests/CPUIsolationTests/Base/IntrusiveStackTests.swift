// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

/// A node as the stack wants it: the link first, then whatever the owner keeps.
private struct Node: ~Copyable {
  let next = SharedAddress(0)
  let value: Int
}

/// A stack and the nodes that can be in it, all at addresses that do not move.
// Sendable: nodes are written before they are shared.
@safe
private final class Fixture: @unchecked Sendable {
  private let stack = Inbox()
  private let nodes: UnsafeMutablePointer<Node>
  private let count: Int

  init(nodes count: Int) {
    self.count = count
    unsafe nodes = .allocate(capacity: count)
    for index in 0..<count { unsafe (nodes + index).initialize(to: Node(value: index)) }
  }

  deinit {
    unsafe nodes.deinitialize(count: count)
    unsafe nodes.deallocate()
  }

  var isEmpty: Bool { stack.isEmpty }

  func takeAll() -> Inbox.Node? { stack.takeAll() }

  func push(_ index: Int) -> Bool {
    // Safety: a node begins with the link, and stays until the fixture ends.
    unsafe stack.push(Inbox.Node(Address(UnsafeMutableRawPointer(nodes + index))))
  }

  func take() -> [Int] {
    var values: [Int] = []
    var node = stack.takeAll()
    while let current = node {
      // Safety: there are no other nodes in the stack.
      values.append(unsafe Place<Node>(current.base).value.value)
      node = Inbox.next(after: current)
    }
    return values
  }
}

@Suite("Inbox")
struct IntrusiveStackTests {
  @Test("an empty stack gives nothing")
  func empty() {
    let fixture = Fixture(nodes: 1)
    #expect(fixture.isEmpty)
    #expect(fixture.take().isEmpty)
  }

  @Test("nodes come out in the order in which they went in", arguments: [1, 2, 3, 100])
  func order(count: Int) {
    let fixture = Fixture(nodes: count)
    for index in 0..<count { _ = fixture.push(index) }
    #expect(!fixture.isEmpty)
    #expect(fixture.take() == Array(0..<count))
    #expect(fixture.isEmpty)
    #expect(fixture.take().isEmpty)
  }

  @Test("who fills an empty stack is told so, and nobody else")
  func emptiness() {
    let fixture = Fixture(nodes: 3)
    #expect(fixture.push(0))
    #expect(!fixture.push(1))
    #expect(fixture.take() == [0, 1])
    #expect(fixture.push(2))
  }

  @Test("a node can be used again as soon as it has been taken")
  func reuse() {
    let fixture = Fixture(nodes: 2)
    for _ in 0..<10 {
      _ = fixture.push(1)
      _ = fixture.push(0)
      #expect(fixture.take() == [1, 0])
    }
  }

  @Test("a taken list can be linked anew")
  func relink() throws {
    let fixture = Fixture(nodes: 2)
    _ = fixture.push(0)
    _ = fixture.push(1)
    let first = try #require(fixture.takeAll())
    let second = try #require(Inbox.next(after: first))
    Inbox.setNext(after: first, nil)
    Inbox.setNext(after: second, first)
    let (afterFirst, afterSecond) = (
      Inbox.next(after: first), Inbox.next(after: second)
    )
    #expect(afterFirst == nil)
    #expect(afterSecond?.base == first.base)
  }

  @Test("many push while one takes: each node once, in each pusher's order", arguments: [2, 4])
  func race(pushers: Int) throws {
    let share = 5_000
    let fixture = Fixture(nodes: pushers * share)
    let fillings = Counter()
    let steps = (0..<pushers).map { pusher in
      PlainThread.start {
        for index in 0..<share where fixture.push(pusher * share + index) { fillings.increment() }
      }
    }
    var takenLists = 0
    var lastOf = [Int](repeating: -1, count: pushers)
    var taken = 0
    let isComplete = eventually {
      let values = fixture.take()
      if !values.isEmpty { takenLists += 1 }
      for value in values {
        let (pusher, index) = value.quotientAndRemainder(dividingBy: share)
        if index != lastOf[pusher] + 1 { return true }
        lastOf[pusher] = index
      }
      taken += values.count
      return taken == pushers * share
    }
    for step in steps { try step.value() }
    #expect(isComplete)
    #expect(lastOf == Array(repeating: share - 1, count: pushers))
    // Every list that was taken had been filled by exactly one push.
    #expect(fillings.value == takenLists)
  }
}

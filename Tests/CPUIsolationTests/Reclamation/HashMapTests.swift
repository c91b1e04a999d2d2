// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

@Suite("A hash map on hazard pointers and a pool")
struct HashMapTests {
  enum Action: Sendable {
    case insert(Int, for: Int, isNew: Bool)
    case remove(Int, Int?)
    case look(Int, Int?)
  }

  private typealias Operation = Linearizability<Action, [Int: Int]>.Operation

  private static let map = Linearizability<Action, [Int: Int]> { state, action in
    switch action {
    case .insert(let value, let key, let isNew):
      if isNew != (state[key] == nil) { return nil }
      return isNew ? state.merging([key: value]) { old, _ in old } : state
    case .remove(let key, let value):
      return state[key] == value ? state.filter { $0.key != key } : nil
    case .look(let key, let value): return state[key] == value ? state : nil
    }
  }

  @Test("the check finds what no map does")
  func check() {
    let sound: [Operation] = [
      .init(action: .insert(1, for: 7, isNew: true), begin: 0, end: 3),
      .init(action: .look(7, 1), begin: 1, end: 2),
      .init(action: .remove(7, 1), begin: 4, end: 6),
      .init(action: .look(7, nil), begin: 5, end: 7),
    ]
    #expect(Self.map.holds(sound, from: [:]))
    var stale = sound
    stale[3] = .init(action: .look(7, 1), begin: 7, end: 8)
    #expect(!Self.map.holds(stale, from: [:]))
    // Both took the same node.
    let twice = sound + [.init(action: .remove(7, 1), begin: 4, end: 6)]
    #expect(!Self.map.holds(twice, from: [:]))
  }

  @Test("one thread: what is put in is found, and a full map says so")
  func sequential() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let map = try HashMap(domain, bucketCount: 4, capacity: 16)
    do {
      var walk = HashMap.Walk(through: map)
      for key in 0..<16 { #expect(walk.insert(key * 10, for: key) == .inserted) }
      #expect(walk.insert(0, for: 99) == .full)
      #expect(walk.insert(0, for: 3) == .present)
      for key in 0..<16 { #expect(walk.value(for: key) == key * 10) }
      #expect(walk.value(for: 99) == nil)
      #expect(walk.remove(3) == 30)
      #expect(walk.remove(3) == nil)
      #expect(walk.value(for: 3) == nil)
      // The one node that was retired comes back when there is no other.
      #expect(walk.insert(1, for: 99) == .inserted)
      #expect(walk.value(for: 99) == 1)
    }
    #expect(map.nodes.countFree() == 0)
  }

  @Test("histories of a chain are those of a map", arguments: [3, 4])
  func linearizable(threads: Int) throws {
    let domain = try HazardDomain(reclamation: .retiring)
    var contended = 0
    for round in 0..<200 {
      let map = try HashMap(domain, bucketCount: 1, capacity: 64)
      let clock = Clock()
      let gate = Flag()
      let steps = (0..<threads).map { thread in
        PlainThread.start { () -> [Operation] in
          var walk = HashMap.Walk(through: map)
          gate.wait()
          return (0..<5).map { index in
            let key = (index + round) % 2
            let begin = clock.tick()
            let action: Action
            switch (index * 2 + thread + round) % 3 {
            case 0:
              let value = thread * 10 + index
              action = .insert(value, for: key, isNew: walk.insert(value, for: key) == .inserted)
            case 1: action = .remove(key, walk.remove(key))
            default: action = .look(key, walk.value(for: key))
            }
            return .init(action: action, begin: begin, end: clock.tick())
          }
        }
      }
      gate.raise()
      let histories = try steps.map { try $0.value() }
      let history = histories.flatMap { $0 }
      #expect(history.count == 5 * threads)
      #expect(Self.map.holds(history, from: [:]), "\(history)")
      let ends = histories.map { $0.last!.end }
      if histories.contains(where: { $0[0].begin < ends.min()! }) { contended += 1 }
    }
    #expect(contended > 0)
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
    #expect(domain.counts.pending == 0)
  }

  /// What a thread has put in and taken out; each value is put in once.
  private struct Ledger: Sendable {
    var inserted: [Int] = []
    var removed: [Int] = []
    var wrong = 0
    var refused = 0
  }

  @Test(
    "no value is lost or found twice, and every node comes back",
    arguments: HazardDomain.Fence.offered)
  func conservation(fence: HazardDomain.Fence) throws {
    let domain = try HazardDomain(fence: fence, reclamation: .retiring)
    let keys = 12
    // Few: whoever finds none reclaims, so that what is unlinked is used again at once.
    let capacity = 32
    let turn = Clock()
    let map = try HashMap(domain, bucketCount: 1, capacity: capacity) {
      if turn.tick().isMultiple(of: 61) { sched_yield() }
    }
    let gate = Flag()
    let steps = (0..<4).map { thread in
      PlainThread.start { () -> Ledger in
        var ledger = Ledger()
        var walk = HashMap.Walk(through: map)
        var state = UInt64(thread + 1)
        gate.wait()
        for number in 0..<20_000 {
          // Knuth's constants for MMIX.
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          let key = Int(state >> 33) % keys
          // A value says whose key it is.
          switch state >> 60 % 4 {
          case 0:
            let value = (number * 4 + thread) * keys + key
            switch walk.insert(value, for: key) {
            case .inserted: ledger.inserted.append(value)
            case .present: break
            case .full: ledger.refused += 1
            }
          case 1:
            if let value = walk.remove(key) {
              ledger.removed.append(value)
              if value % keys != key { ledger.wrong += 1 }
            }
          default: if let value = walk.value(for: key), value % keys != key { ledger.wrong += 1 }
          }
        }
        return ledger
      }
    }
    gate.raise()
    let ledgers = try steps.map { try $0.value() }
    let inserted = ledgers.flatMap(\.inserted)
    let removed = ledgers.flatMap(\.removed)
    #expect(ledgers.allSatisfy { $0.wrong == 0 }, "a node was reused while somebody looked at it")
    #expect(removed.count > 1000)
    do {
      var walk = HashMap.Walk(through: map)
      let left = (0..<keys).compactMap { walk.value(for: $0) }
      #expect(Set(removed).count == removed.count, "a value was taken out twice")
      #expect((removed + left).sorted() == inserted.sorted())
      #expect(map.nodes.countFree() == capacity - left.count)
      for key in 0..<keys { _ = walk.remove(key) }
    }
    #expect(map.nodes.countFree() == capacity)
  }

  @Test("a stack loses nothing either, and every node comes back")
  func stackConservation() throws {
    let domain = try HazardDomain(reclamation: .retiring)
    let capacity = 1024
    let stack = try TreiberStack(domain, capacity: capacity)
    let gate = Flag()
    let steps = (0..<4).map { thread in
      PlainThread.start { () -> Ledger in
        var ledger = Ledger()
        gate.wait()
        for number in 0..<20_000 {
          let value = number * 4 + thread
          if stack.push(value) { ledger.inserted.append(value) }
          if let value = stack.pop() { ledger.removed.append(value) }
        }
        return ledger
      }
    }
    gate.raise()
    let ledgers = try steps.map { try $0.value() }
    var removed = ledgers.flatMap(\.removed)
    while let value = stack.pop() { removed.append(value) }
    #expect(removed.count > 1000)
    #expect(removed.sorted() == ledgers.flatMap(\.inserted).sorted())
    #expect(stack.nodes.countFree() == capacity)
  }

  @Test("a node that is protected does not come back to the pool until then")
  func heldBack() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let map = try HashMap(domain, bucketCount: 1, capacity: 2)
    var walk = HashMap.Walk(through: map)
    #expect(walk.insert(10, for: 1) == .inserted)
    #expect(walk.insert(20, for: 2) == .inserted)
    var hazard = HazardPointer(in: domain)
    let first = unsafe try #require(hazard.protect(map.bucket(of: 1).pointee.next).node)
    #expect(walk.remove(1) == 10)
    #expect(walk.insert(30, for: 3) == .full)
    #expect(unsafe first.pointee.value == 10)
    hazard.reset()
    #expect(walk.insert(30, for: 3) == .inserted)
    #expect(walk.value(for: 3) == 30)
  }
}

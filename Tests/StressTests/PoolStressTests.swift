// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

extension StressTests {
  /// Objects that go from thread to thread: none is lost, and none is anybody else's.
  @Suite struct Pools {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var threads: Int
      var capacity: Int
      var rings: Int
      /// How many objects a thread has at once, at most.
      var held = 3
      /// Threads end with objects in their rings, and others begin.
      var dies = false

      var testDescription: String {
        "seed \(seed): \(threads) threads, \(capacity) objects, \(rings) rings, \(held) held"
          + (dies ? ", threads end" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 301, threads: 2, capacity: 1, rings: 2, held: 1),
      Case(seed: 302, threads: 2, capacity: 4, rings: 2),
      Case(seed: 303, threads: 3, capacity: 3, rings: 3, held: 2),
      Case(seed: 304, threads: 4, capacity: 64, rings: 2),
      // Far more threads than processors: they are preempted everywhere.
      Case(seed: 305, threads: 16, capacity: 10, rings: 16, held: 2),
      Case(seed: 306, threads: 16, capacity: 100, rings: 5, held: 12),
      Case(seed: 307, threads: 6, capacity: 12, rings: 4, dies: true),
    ])
    func conservation(_ test: Case) throws { try PoolExperiment(test).run() }

    @Test(arguments: [311, 312, 313] as [UInt64])
    func closingWhileOut(seed: UInt64) throws {
      let until = Until(StressDuration.ofCase(0.7))
      var random = SeededGenerator(seed: seed)
      let violations = Violations()
      var rounds = 0
      repeat {
        try closeOnce(&random, violations)
        rounds += 1
      } while !until.isOver || rounds < 2
      violations.expectNone("seed \(seed), \(rounds) pools")
      #expect(rounds > 1)
    }

    private func closeOnce(_ random: inout SeededGenerator, _ violations: Violations) throws {
      let ended = SharedCounter()
      let capacity = 1 + random.below(8)
      let pool = try ObjectPool(capacity: capacity, rings: 3) { PoolElement($0, ended) }
      let seed = random.next()
      TestThread.run(4) { index in
        var random = SeededGenerator(seed: seed, stream: index)
        if index == 3 {
          for _ in 0..<random.below(20) { sched_yield() }
          pool.close()
          return
        }
        // One of them has no ring.
        let local = index == 2 ? nil : pool.register()
        while true {
          guard let object = local?.pop() ?? pool.pop() else {
            if pool.isClosed { break }
            sched_yield()
            continue
          }
          if ended.value > 0 { violations.note("an element has ended while one is out") }
          if random.oneIn(3) { sched_yield() }
          // Sometimes it finds its own way back.
          if local != nil, !random.oneIn(4) { local!.push(object) }
        }
      }
      violations.check(pool.isFreed, "closed, everything is back, and the memory is not freed")
      violations.check(
        ended.value == capacity, "\(ended.value) of \(capacity) elements have ended")
    }
  }
}

/// Counts its end.
private struct PoolElement: ~Copyable {
  let number: Int
  let ended: SharedCounter

  init(_ number: Int, _ ended: SharedCounter) {
    self.number = number
    self.ended = ended
  }

  deinit { ended.add() }
}

/// Threads take objects, write their names into them, look whether they still stand there, and give
/// them back.
private final class PoolExperiment: Sendable {
  private let test: StressTests.Pools.Case
  private let pool: RawObjectPool
  private let violations = Violations()
  private let stop = SharedFlag()
  private let moved = SharedCounter()
  private let generations = SharedCounter()

  init(_ test: StressTests.Pools.Case) throws {
    self.test = test
    pool = try RawObjectPool(
      PoolCore.Geometry(
        capacity: test.capacity, rings: test.rings, objectBytes: 16, isCompact: false),
      position: 0 &- 1000)
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.7))
    let threads = (0..<test.threads).map { index in
      TestThread { [self] in work(index) }
    }
    while !until.isOver { usleep(1000) }
    stop.set()
    for thread in threads { thread.join() }
    check()
    violations.expectNone(
      "\(test.testDescription): \(moved.value) moved, \(generations.value) registrations")
  }

  private func work(_ index: Int) {
    var random = SeededGenerator(seed: test.seed, stream: index)
    var name = UInt64(index) << 48 | 1
    while !stop.isSet {
      let local = pool.register()
      generations.add()
      for _ in 0..<(test.dies ? 1 + random.below(50) : 1000) where !stop.isSet {
        turn(local, &random, &name)
      }
      if test.dies { sched_yield() }
    }
  }

  // Not optimized: the compiler (Swift 6.3.1, SimplifyCFG) ends itself over a borrowed optional that
  // cannot be copied.
  @_optimize(none)
  private func turn(
    _ local: borrowing RawObjectPool.Local?, _ random: inout SeededGenerator, _ name: inout UInt64
  ) {
    var held: [UInt] = []
    for _ in 0..<1 + random.below(test.held) {
      let isGuest = local == nil || random.oneIn(8)
      guard let object = unsafe isGuest ? pool.pop() : local!.pop() else { break }
      name += 1
      // Not atomic: the sanitizer sees whether two threads have the object.
      let words = unsafe object.assumingMemoryBound(to: UInt64.self)
      violations.check(
        unsafe words[1] == words[0] &* 3, "an object holds \(unsafe words[0]), \(unsafe words[1])")
      unsafe words[0] = name
      held.append(UInt(bitPattern: object))
      if random.oneIn(16) { sched_yield() }
    }
    for (place, address) in held.enumerated() {
      let object = unsafe UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
      let words = unsafe object.assumingMemoryBound(to: UInt64.self)
      let expected = name - UInt64(held.count - 1 - place)
      violations.check(
        unsafe words[0] == expected,
        "somebody else wrote \(unsafe words[0]) where \(expected) stood")
      unsafe words[1] = expected &* 3
      if local == nil || random.oneIn(8) {
        unsafe pool.push(object)
      } else {
        unsafe local!.push(object)
      }
      moved.add()
    }
  }

  /// Nothing is out: every object is found once.
  private func check() {
    let statistics = pool.statistics.total
    violations.check(
      statistics.pops == statistics.pushes,
      "\(statistics.pops) pops and \(statistics.pushes) pushes, with nothing out")
    violations.check(
      statistics.free == test.capacity, "\(statistics.free) of \(test.capacity) are free")
    violations.check(moved.value > 0, "nothing moved")
    var found: Set<UInt> = []
    while let object = unsafe pool.pop() { found.insert(UInt(bitPattern: object)) }
    violations.check(
      found.count == test.capacity, "\(found.count) of \(test.capacity) objects were found")
    for object in found {
      unsafe pool.push(UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped)
    }
    pool.close()
    violations.check(pool.isFreed, "everything is back, and the memory is not freed")
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

extension StressTests {
  /// Threads that are held up, or die, at a numbered point of a pop, a push or a theft.
  ///
  /// A thread that dies takes along what it holds: at most the one object that was on its way.
  /// Everything else is found by the others, its ring too. The continuous integration runs these
  /// four times, half a minute in all; `CPUISOLATION_STRESS_SECONDS=150` is ten minutes.
  @Suite struct PoolTorture {
    @Test(arguments: [321, 322] as [UInt64], [false, true])
    func torture(seed: UInt64, isDeadly: Bool) throws {
      let until = Until(StressDuration.ofCase(3))
      var total = PoolTortureExperiment.Account()
      var round: UInt64 = 0
      repeat {
        let experiment = try PoolTortureExperiment(seed: seed &+ round << 32, isDeadly: isDeadly)
        total.add(experiment.run())
        round += 1
      } while !until.isOver
      #expect(total.moved > 0 && total.delays > 0, "\(total)")
      #expect(!isDeadly || total.deaths > 0 && total.adoptions > 0, "\(total)")
    }
  }
}

/// What happens at the points: a draw by a global ticket decides.
private enum TortureFaults: PoolFaults {
  static let seed = Atomic<UInt64>(0)
  static let ticket = Atomic<UInt64>(0)
  static let deathsLeft = Atomic<Int>(0)
  /// By point, how often a thread was held up there, and how often one died.
  static let delays = WordTable(PoolPoint.allCases.count)
  static let deaths = WordTable(PoolPoint.allCases.count)

  static func reset(seed: UInt64, deaths limit: Int) {
    Self.seed.store(seed, ordering: .relaxed)
    ticket.store(0, ordering: .relaxed)
    deathsLeft.store(limit, ordering: .relaxed)
    for point in 0..<deaths.count {
      delays.store(point, 0)
      deaths.store(point, 0)
    }
  }

  static func reach(_ point: PoolPoint) {
    let turn = ticket.wrappingAdd(1, ordering: .relaxed).newValue
    var random = SeededGenerator(
      seed: seed.load(ordering: .relaxed), stream: Int(truncatingIfNeeded: turn))
    let draw = random.below(4000)
    guard draw < 100 else { return }
    if draw < 20, deathsLeft.wrappingSubtract(1, ordering: .relaxed).newValue >= 0 {
      deaths.add(point.rawValue)
      pthread_exit(nil)
    }
    delays.add(point.rawValue)
    if draw < 22 { usleep(UInt32(random.below(2000))) } else { sched_yield() }
  }
}

extension PoolPoint {
  /// How many objects a thread that dies here takes along: at least, and at most.
  fileprivate var loss: ClosedRange<Int> {
    switch self {
    case .pushBegins, .entryWritten, .shelfCounted, .stolen, .shelfTaken: 1...1
    case .pushPublished, .popBegins, .stealBegins, .bottomRead, .entryRead, .shelfPlaced,
      .shelfSeen:
      0...0
    // A thief may have the entry, or take it still.
    case .bottomLowered, .topRead, .lastClaimed: 0...1
    }
  }
}

private final class PoolTortureExperiment: Sendable {
  private static let capacity = 64
  private static let rings = 3
  private static let threads = 5
  private static let turns = 2000

  struct Account {
    var moved = 0
    var delays: UInt64 = 0
    var deaths: UInt64 = 0
    var adoptions = 0
    var guests = 0

    mutating func add(_ other: Account) {
      moved += other.moved
      delays += other.delays
      deaths += other.deaths
      adoptions += other.adoptions
      guests += other.guests
    }
  }

  private let pool: RawObjectPool
  private let isDeadly: Bool
  private let seed: UInt64
  /// Who has an object, from when he has taken it until before he gives it back.
  private let holders = WordTable(capacity)
  private let violations = Violations()
  private let moved = SharedCounter()
  private let adoptions = SharedCounter()
  private let guests = SharedCounter()
  private let finished = SharedCounter()

  init(seed: UInt64, isDeadly: Bool) throws {
    self.seed = seed
    self.isDeadly = isDeadly
    pool = try RawObjectPool(
      PoolCore.Geometry(
        capacity: Self.capacity, rings: Self.rings, objectBytes: 8, isCompact: false),
      position: 0 &- 100)
  }

  func run() -> Account {
    TortureFaults.reset(seed: seed, deaths: isDeadly ? Self.capacity / 2 : 0)
    // For each that dies, another begins.
    var threads: [TestThread] = []
    var begun = 0
    while finished.value < Self.threads {
      let died = Int(TortureFaults.deaths.sum)
      while begun - died < Self.threads {
        begun += 1
        let name = UInt64(begun)
        threads.append(TestThread { [self] in work(name) })
      }
      usleep(50)
    }
    for thread in threads { thread.join() }
    check()
    violations.expectNone("seed \(seed), deadly \(isDeadly): \(begun) threads")
    return Account(
      moved: moved.value, delays: TortureFaults.delays.sum, deaths: TortureFaults.deaths.sum,
      adoptions: adoptions.value, guests: guests.value)
  }

  private func work(_ name: UInt64) {
    let core = pool.core
    var random = SeededGenerator(seed: seed, stream: Int(name))
    var turn = 0
    while turn < Self.turns {
      _ = core.hold()
      let dead = (0..<Self.rings).map { number in
        let holder = PoolRing.thread(of: core.ring(number).holder)
        return holder != 0 && !CurrentThread.isAlive(holder)
      }
      guard let ring = core.claimRing() else {
        core.drop(1)
        guests.add()
        for _ in 0..<50 { exchange(nil, name, &random) }
        turn += 50
        continue
      }
      let number = (0..<Self.rings).first { core.ring($0).base == ring.base }
      if dead[number!] { adoptions.add() }
      for _ in 0..<100 + random.below(200) {
        exchange(random.oneIn(10) ? nil : ring, name, &random)
        turn += 1
      }
      core.leave(ring)
    }
    finished.add()
  }

  /// Takes one object and gives it back, in a ring or without one.
  private func exchange(_ ring: PoolRing?, _ name: UInt64, _ random: inout SeededGenerator) {
    let core = pool.core
    let index: UInt32
    if let ring {
      index = core.take(at: ring, TortureFaults.self)
    } else {
      // The pool is open all the time: it holds the memory.
      index = core.takeAsGuest(TortureFaults.self)
    }
    if index == PoolRing.none { return }
    let object = core.give(index)
    let other = holders.exchange(Int(index), name)
    violations.check(other == 0, "object \(index) of thread \(other) was given to \(name)")
    if random.oneIn(50) { sched_yield() }
    let holder = holders.exchange(Int(index), 0)
    violations.check(holder == name, "object \(index) of thread \(name) was given to \(holder)")
    let back = core.receive(object)
    if let ring {
      if !core.put(back, at: ring, TortureFaults.self) { violations.note("the pool is closed") }
    } else {
      core.holdAsGuest()
      core.putAsGuest(back, TortureFaults.self)
    }
    moved.add()
  }

  /// Nobody is left: what can be found, and what the dead have taken along.
  private func check() {
    var found: Set<UInt> = []
    while let object = unsafe pool.pop() {
      let isNew = found.insert(UInt(bitPattern: object)).inserted
      violations.check(isNew, "an object was in the pool twice")
    }
    var least = 0
    var most = 0
    for point in PoolPoint.allCases {
      let deaths = Int(TortureFaults.deaths.load(point.rawValue))
      least += deaths * point.loss.lowerBound
      most += deaths * point.loss.upperBound
    }
    let lost = Self.capacity - found.count
    violations.check(
      (least...most).contains(lost), "\(lost) objects are lost, and it should be \(least)–\(most)")
    if isDeadly { return }
    for object in found {
      unsafe pool.push(UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped)
    }
    pool.close()
    violations.check(pool.isFreed, "everything is back, and the memory is not freed")
  }
}

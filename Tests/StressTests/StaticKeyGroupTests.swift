// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Writers that change words beside each other: what one of them has finished stays, whatever the
  /// others are in the middle of.
  @Suite struct StaticKeyGroups {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var neighbours = 1
      var isolated = 1
      var interrupter = Interrupter.poll
      var testDescription: String {
        "seed \(seed): \(neighbours) writers beside, \(isolated) isolated, \(interrupter)"
      }
    }

    @Test(arguments: [
      Case(seed: 111, neighbours: 0),
      Case(seed: 112),
      Case(seed: 113, isolated: 2, interrupter: .signal),
    ])
    func finishedChangesStay(_ test: Case) throws {
      let storm = try NeighbourStorm(test)
      try storm.run()
    }
  }
}

/// A key `a`, a call and more keys in one group of words. One thread turns `a` and exchanges the
/// call, tells what it has finished, and frees what the call was made with before. The other keys are
/// turned by further threads, and by this one too, right after it has told something: where two processors
/// are all there are, that is when a CPU meets a change in the middle.
private final class NeighbourStorm: Sendable {
  /// What the writer of `a` has told everybody: that it is on, that it is off, or nothing, while it
  /// changes. Counts up, so that the same value twice is the same moment.
  private enum Told {
    static let nothing = 0
    static let on = 1
    static let off = 3
    static func key(_ word: Int) -> Bool? { word & 1 == 0 ? nil : word & 3 == on }
  }

  private let test: StressTests.StaticKeyGroups.Case
  private let coordinator: Coordinator
  private let keys: StaticKeys
  private let a: StaticKey
  private let others: [StaticKey]
  private let call: StaticCall
  private let told = Atomic<Int>(0)
  /// The number of the last exchange that was finished: what the call returns is no less.
  private let toldExchange = Atomic<Int>(0)
  private let isOver = Atomic<Bool>(false)
  private let looks = Atomic<Int>(0)
  private let staleKeys = Atomic<Int>(0)
  private let staleCalls = Atomic<Int>(0)
  private let failures = Atomic<Int>(0)

  init(_ test: StressTests.StaticKeyGroups.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<test.isolated + 1))
    configuration.pinning = .none
    configuration.isolatedInterrupter = test.interrupter
    coordinator = try Coordinator(configuration)
    keys = try StaticKeys(coordinator)
    a = try keys.makeKey("a")
    call = try unsafe keys.makeCall("call")
    var others: [StaticKey] = []
    for index in 0..<4 { others.append(try keys.makeKey("other \(index)")) }
    self.others = others
  }

  func run() throws {
    let readers = (1...test.isolated).map { cpu in TestThread { self.read(on: cpu) } }
    let neighbours = (0..<test.neighbours).map { _ in TestThread { self.turnOthersAllTheTime() } }
    let last = try unsafe write(until: Until(StressDuration.ofCase(2)))
    isOver.store(true, ordering: .relaxed)
    for thread in readers + neighbours { thread.join() }
    unsafe last.deallocate()
    #expect(staleKeys.load(ordering: .relaxed) == 0, "entries with a key as it was before")
    #expect(staleCalls.load(ordering: .relaxed) == 0, "calls with a context that was given up")
    #expect(failures.load(ordering: .relaxed) == 0)
  }

  /// Until the time is over and everybody got somewhere; returns what the call is made with.
  private func write(until: Until) throws -> UnsafeMutablePointer<Int> {
    // Given up, but not freed yet: freed memory would be used for the next one at once.
    var given: [UnsafeMutablePointer<Int>] = unsafe []
    var current = try unsafe exchange(0)
    var turn = 0
    let tell = { (state: Int) in
      self.told.store(turn << 2 | state, ordering: .sequentiallyConsistent)
    }
    while !until.isOver || turn <= 10 || looks.load(ordering: .relaxed) <= 10 {
      turn += 1
      try keys.enable(a)
      tell(Told.on)
      try turnOthers()
      let next = try unsafe exchange(turn)
      toldExchange.store(turn, ordering: .sequentiallyConsistent)
      try turnOthers()
      try coordinator.synchronize().get()
      unsafe current.pointee = -1
      unsafe given.append(current)
      unsafe current = next
      if unsafe given.count > 256 { unsafe given.removeFirst().deallocate() }
      tell(Told.nothing)
      try keys.disable(a)
      tell(Told.off)
      try turnOthers()
      tell(Told.nothing)
    }
    unsafe given.forEach { unsafe $0.deallocate() }
    return unsafe current
  }

  /// Has the call return a number.
  private func exchange(_ number: Int) throws -> UnsafeMutablePointer<Int> {
    let context = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    unsafe context.initialize(to: number)
    try unsafe keys.update(call, to: context) { context, _ in
      unsafe context.unsafelyUnwrapped.assumingMemoryBound(to: Int.self).pointee
    }
    return unsafe context
  }

  private func turnOthers() throws(IsolationError) {
    try keys.update { changes in for key in others { changes.enable(key) } }
    try keys.update { changes in for key in others { changes.disable(key) } }
  }

  private func turnOthersAllTheTime() {
    do {
      while !isOver.load(ordering: .relaxed) { try turnOthers() }
    } catch { failures.wrappingAdd(1, ordering: .relaxed) }
  }

  private func read(on number: Int) {
    guard let cpu = try? coordinator.attach(to: number) else {
      failures.wrappingAdd(1, ordering: .relaxed)
      return
    }
    var random = SeededGenerator(seed: test.seed, stream: number)
    // Up to four microseconds: as long as it takes from one change to the middle of the next.
    #if DEBUG
      let longest = 400
    #else
      let longest = 8_000
    #endif
    while !isOver.load(ordering: .relaxed) {
      cpu.enterUser()
      for _ in 0..<random.below(longest) { _ = isOver.load(ordering: .relaxed) }
      let before = told.load(ordering: .sequentiallyConsistent)
      let exchange = toldExchange.load(ordering: .sequentiallyConsistent)
      cpu.enterKernel()
      let isOn = a.isEnabled(on: cpu)
      if call(0, on: cpu) < exchange { staleCalls.wrappingAdd(1, ordering: .relaxed) }
      // It was told before we entered, and still holds.
      if let expected = Told.key(before), isOn != expected,
        told.load(ordering: .sequentiallyConsistent) == before
      {
        staleKeys.wrappingAdd(1, ordering: .relaxed)
      }
      looks.wrappingAdd(1, ordering: .relaxed)
    }
  }
}

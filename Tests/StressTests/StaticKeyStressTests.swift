// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Storms of enables and disables: the counts are exact, and no CPU that enters after an enable
  /// has returned finds the key off while it is held.
  @Suite struct StaticKeyStorms {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var writers = 3
      var isolated = 2
      var interrupter = Interrupter.poll
      var isNeverDeferred = false
      var changesHands = false
      var testDescription: String {
        "seed \(seed): \(writers) writers, \(isolated) isolated, \(interrupter)"
          + (isNeverDeferred ? ", never deferred" : "")
          + (changesHands ? ", threads come and go" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 91),
      Case(seed: 92, writers: 6, isolated: 3),
      Case(seed: 93, interrupter: .signal),
      Case(seed: 94, changesHands: true),
      Case(seed: 95, isNeverDeferred: true),
      Case(seed: 96, interrupter: .signal, isNeverDeferred: true),
    ])
    func readersSeeWhatEnableReturned(_ test: Case) throws {
      let storm = try KeyStorm(test)
      try storm.run()
    }

    /// Function and context of a call change together, whatever else drains meanwhile.
    @Test(arguments: [101, 102] as [UInt64])
    func callsAreWhole(_ seed: UInt64) throws {
      try CallStorm().run(seed)
    }
  }
}

private func configuration(
  _ isolated: Int, _ interrupter: Interrupter
) -> Coordinator.Configuration {
  var configuration = Coordinator.Configuration(
    housekeeping: [0], isolated: CPUMask(1..<isolated + 1))
  configuration.pinning = .none
  configuration.isolatedInterrupter = interrupter
  return configuration
}

/// Writers that hold a key for a while, and say so; CPUs that enter and look.
private final class KeyStorm: Sendable {
  private let test: StressTests.StaticKeyStorms.Case
  private let coordinator: Coordinator
  private let keys: StaticKeys
  private let key: StaticKey
  /// How many writers hold the key for sure: raised after `enable`, lowered before `disable`.
  private let holders = Atomic<Int>(0)
  /// Moves whenever a writer lets go.
  private let releases = Atomic<Int>(0)
  private let isOver = Atomic<Bool>(false)
  private let looks = Atomic<Int>(0)
  private let held = Atomic<Int>(0)
  private let flips = Atomic<Int>(0)
  private let violations = Atomic<Int>(0)

  init(_ test: StressTests.StaticKeyStorms.Case) throws {
    self.test = test
    coordinator = try Coordinator(configuration(test.isolated, test.interrupter))
    keys = try StaticKeys(coordinator)
    key = try keys.makeKey("storm", neverDeferred: test.isNeverDeferred)
  }

  func run() throws {
    let duration = StressDuration.ofCase(0.5)
    let readers = (1...test.isolated).map { cpu in TestThread { self.read(on: cpu) } }
    let generous = Until(duration)
    TestThread.run(test.writers) { writer in self.write(writer, until: generous) }
    isOver.store(true, ordering: .releasing)
    for reader in readers { reader.join() }
    #expect(violations.load(ordering: .relaxed) == 0)
    #expect(keys.count(of: key) == 0)
    #expect(!keys.isEnabled(key))
    // The storm was one.
    #expect(flips.load(ordering: .relaxed) > 10)
    #expect(looks.load(ordering: .relaxed) > 10)
    #expect(held.load(ordering: .relaxed) > 0)
    for cpu in 1...test.isolated {
      let local = try coordinator.attach(to: cpu)
      let isOn = key.isEnabled(on: local)
      #expect(!isOn)
    }
  }

  private func write(_ writer: Int, until: Until) {
    var random = SeededGenerator(seed: test.seed, stream: writer)
    var turns = 0
    while !until.isOver || turns < 20 || flips.load(ordering: .relaxed) <= 10 {
      turns += 1
      guard let outcome = try? keys.enable(key) else { return fail() }
      if outcome == .flipped { flips.wrappingAdd(1, ordering: .relaxed) }
      holders.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if random.oneIn(4) { sched_yield() }
      if random.oneIn(3) { for _ in 0..<random.below(200) { _ = holders.load(ordering: .relaxed) } }
      holders.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      releases.wrappingAdd(1, ordering: .sequentiallyConsistent)
      defer { if random.oneIn(2) { usleep(UInt32(random.below(2_000))) } }
      if random.oneIn(8) {
        guard (try? keys.disable(key, after: .zero)) != nil else { return fail() }
        if (try? keys.applyDelayed()) == nil, keys.count(of: key) < 0 { fail() }
      } else {
        guard (try? keys.disable(key)) != nil else { return fail() }
      }
    }
  }

  private func read(on number: Int) {
    var random = SeededGenerator(seed: test.seed, stream: 100 + number)
    while !isOver.load(ordering: .acquiring) {
      guard let cpu = try? coordinator.attach(to: number) else { return fail() }
      var turns = test.changesHands ? random.below(200) : .max
      while turns > 0, !isOver.load(ordering: .relaxed) {
        turns -= 1
        cpu.enterUser()
        let before = key.isEnabled(on: cpu)
        for _ in 0..<random.below(50) { _ = looks.load(ordering: .relaxed) }
        cpu.poll()
        // A poll ends a section only for what cannot wait.
        if !test.isNeverDeferred, test.interrupter == .signal, key.isEnabled(on: cpu) != before {
          fail()
        }
        look(cpu)
        if random.oneIn(16) { sched_yield() }
      }
      if cpu.context == .user { cpu.enterKernel() }
    }
  }

  /// Enters, and compares what the key says with who holds it for sure.
  private func look(_ cpu: borrowing LocalCPU) {
    let released = releases.load(ordering: .sequentiallyConsistent)
    let isHeld = holders.load(ordering: .sequentiallyConsistent) > 0
    cpu.enterKernel()
    let isOn = key.isEnabled(on: cpu)
    // Somebody held it before we entered, and nobody has let go since.
    if isHeld, releases.load(ordering: .sequentiallyConsistent) == released {
      held.wrappingAdd(1, ordering: .relaxed)
      if !isOn { fail() }
    }
    if key.isEnabled(on: cpu) != isOn, !test.isNeverDeferred { fail() }
    looks.wrappingAdd(1, ordering: .relaxed)
  }

  private func fail() { violations.wrappingAdd(1, ordering: .relaxed) }
}

/// A function that knows its own context.
private final class CallStorm: Sendable {
  private let isOver = Atomic<Bool>(false)
  private let exchanges = Atomic<Int>(0)
  private let calls = Atomic<Int>(0)
  private let torn = Atomic<Int>(0)

  private static let functions: [StaticCall.Function] = unsafe [
    { context, _ in Int(bitPattern: context) == 1 << 20 ? 1 : -1 },
    { context, _ in Int(bitPattern: context) == 2 << 20 ? 2 : -1 },
    { context, _ in Int(bitPattern: context) == 3 << 20 ? 3 : -1 },
  ]

  func run(_ seed: UInt64) throws {
    let coordinator = try Coordinator(configuration(1, .poll))
    let keys = try StaticKeys(coordinator)
    let call = try unsafe keys.makeCall("call")
    // In the same group: it makes the CPU look at the group at any time.
    let key = try keys.makeKey("key")
    let reader = TestThread {
      guard let cpu = try? coordinator.attach(to: 1) else { return }
      while !self.isOver.load(ordering: .relaxed) {
        cpu.inUser {}
        if call(0, on: cpu) < 0 { self.torn.wrappingAdd(1, ordering: .relaxed) }
        self.calls.wrappingAdd(1, ordering: .relaxed)
      }
    }
    let noise = TestThread {
      while !self.isOver.load(ordering: .relaxed) {
        coordinator.send(keys.work, to: 1)
        sched_yield()
      }
    }
    var random = SeededGenerator(seed: seed)
    let until = Until(StressDuration.ofCase(0.3))
    while !until.isOver || exchanges.load(ordering: .relaxed) <= 10
      || calls.load(ordering: .relaxed) <= 10
    {
      let next = random.below(4)
      let function = unsafe next == 3 ? nil : Self.functions[next]
      let context = unsafe UnsafeMutableRawPointer(bitPattern: (next + 1) << 20)
      if try unsafe keys.update(call, to: context, function) == .exchanged {
        exchanges.wrappingAdd(1, ordering: .relaxed)
      }
      if random.oneIn(4) {
        try keys.enable(key)
        try keys.disable(key)
      }
    }
    isOver.store(true, ordering: .relaxed)
    reader.join()
    noise.join()
    #expect(torn.load(ordering: .relaxed) == 0)
    #expect(exchanges.load(ordering: .relaxed) > 10 && calls.load(ordering: .relaxed) > 10)
  }
}

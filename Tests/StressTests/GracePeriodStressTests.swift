// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Grace periods that protect real memory: what a reader reaches in a section is never poisoned
  /// before the section ends, whatever the section is.
  @Suite struct GracePeriods {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var writers = 1
      var isolated = 1
      var housekeepers = 1
      var interrupter = Interrupter.poll
      var changesHands = false
      var testDescription: String {
        "seed \(seed): \(writers) writers, \(isolated) isolated, \(housekeepers) housekeepers, "
          + "\(interrupter)" + (changesHands ? ", threads come and go" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 51),
      Case(seed: 52, writers: 2, isolated: 2, housekeepers: 2),
      Case(seed: 53, isolated: 2, interrupter: .signal),
      Case(seed: 54, writers: 2, isolated: 2, changesHands: true),
      Case(seed: 55, writers: 3, isolated: 6, housekeepers: 3),
    ])
    func protectMemory(_ test: Case) throws {
      try GracePeriodExperiment(test).run()
    }
  }
}

/// A node that is poisoned before it is freed.
private struct Node {
  static let sound: UInt64 = 0x5051_5253_5455_5657
  static let poison: UInt64 = 0xdead_dead_dead_dead
  var first = Node.sound
  var last = Node.sound
}

// Sendable: the pointer is atomic, and what it points to is what the test is about.
@safe
private final class SharedNode: @unchecked Sendable {
  private let address: Atomic<UInt>

  init() {
    let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
    unsafe node.initialize(to: Node())
    address = Atomic(UInt(bitPattern: node))
  }

  deinit { unsafe Self.node(address.load(ordering: .relaxed)).deallocate() }

  private static func node(_ address: UInt) -> UnsafeMutablePointer<Node> {
    unsafe UnsafeMutablePointer(bitPattern: address).unsafelyUnwrapped
  }

  /// Reads the node twice, at the beginning and the end of `body`; false if it was poisoned.
  func isSound(during body: () -> Void = {}) -> Bool {
    let node = unsafe Self.node(address.load(ordering: .acquiring))
    guard unsafe node.pointee.first == Node.sound else { return false }
    body()
    return unsafe node.pointee.last == Node.sound
  }

  /// Puts a new node in its place, waits by `wait`, poisons and frees the old one, unless the wait failed.
  func replace(_ wait: () -> Bool) {
    let fresh = UnsafeMutablePointer<Node>.allocate(capacity: 1)
    unsafe fresh.initialize(to: Node())
    let old = unsafe Self.node(
      address.exchange(UInt(bitPattern: fresh), ordering: .acquiringAndReleasing))
    guard wait() else { return }
    unsafe old.pointee.first = Node.poison
    unsafe old.pointee.last = Node.poison
    unsafe old.deallocate()
  }
}

private final class GracePeriodExperiment: Sendable {
  private let test: StressTests.GracePeriods.Case
  private let coordinator: Coordinator
  private let node = SharedNode()
  private let violations = Violations()
  private let stop = SharedFlag()
  private let reads = SharedCounter()
  private let replacements = SharedCounter()
  private let poisoned = SharedCounter()

  init(_ test: StressTests.GracePeriods.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: CPUMask(test.isolated..<test.isolated + test.housekeepers),
      isolated: CPUMask(0..<test.isolated))
    configuration.isolatedInterrupter = test.interrupter
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    coordinator = try Coordinator(configuration)
  }

  private func read(_ random: inout SeededGenerator) {
    let yields = random.oneIn(4)
    let isSound = node.isSound { if yields { sched_yield() } }
    reads.add()
    if !isSound { poisoned.add() }
  }

  private func readInHandler() {
    let yields = reads.add() % 8 == 0
    let isSound = node.isSound {
      if yields { sched_yield() }
      for _ in 0..<100 where stop.isSet { return }
    }
    if !isSound { poisoned.add() }
  }

  func run() throws {
    var options = WorkType.Options()
    options.isInterruptSafe = true
    options.mayRunOnBehalf = true
    // Handlers look at the memory too, wherever they run: at entry, in a signal, on behalf, on the way out.
    let handler = unsafe Unmanaged.passUnretained(self).toOpaque()
    let work = try unsafe coordinator.register("reader", options: options, context: handler) {
      me, _ in
      unsafe Unmanaged<GracePeriodExperiment>.fromOpaque(me.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.readInHandler() }
    }
    let until = Until(StressDuration.ofCase(0.6))
    let (isolated, housekeepers) = (test.isolated, test.housekeepers)
    let readers = isolated + housekeepers + (test.changesHands ? isolated : 0)
    let owners = (0..<readers).map { index in
      TestThread { [self] in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !stop.isSet {
          let cpu = index < isolated + housekeepers ? index : index - isolated - housekeepers
          if cpu < isolated { isolate(cpu, &random) } else { keepHouse(cpu, &random) }
        }
      }
    }
    TestThread.run(test.writers + 1) { [self] index in
      var random = SeededGenerator(seed: test.seed, stream: 100 + index)
      while !until.isOver {
        if index < test.writers {
          replace(&random)
        } else {
          let urgency = [WorkType.Urgency.deferrable, .immediate, .onBehalf][random.below(3)]
          coordinator.send(work, to: coordinator.isolated, urgency: urgency)
          sched_yield()
        }
      }
    }
    stop.set()
    for owner in owners { owner.join() }
    violations.check(poisoned.value == 0, "\(poisoned.value) of \(reads.value) reads saw poison")
    violations.check(
      reads.value > 0 && replacements.value > 0,
      "\(reads.value) reads, \(replacements.value) replacements: nothing was tested")
    violations.expectNone(test.testDescription)
  }

  private func replace(_ random: inout SeededGenerator) {
    let polls = random.oneIn(2)
    node.replace {
      replacements.add()
      if polls {
        var gracePeriod = coordinator.startGracePeriod()
        let isOver = eventually { gracePeriod.poll() }
        if !isOver { violations.note("CPUs \(gracePeriod.stragglers) did not pass") }
        return isOver
      }
      do {
        try coordinator.synchronize(timeout: StressDuration.generous).get()
        return true
      } catch {
        violations.note("synchronize: \(error)")
        return false
      }
    }
    if random.oneIn(8) { sched_yield() }
  }

  /// An isolated CPU reads in kernel sections, plain and nested, and after explicit entries.
  private func isolate(_ cpu: Int, _ random: inout SeededGenerator) {
    guard let local = try? coordinator.attach(to: cpu) else {
      sched_yield()
      return
    }
    for _ in 0..<(test.changesHands ? 3 : 200) {
      switch random.below(3) {
      case 0:
        read(&random)
        local.inUser { if random.oneIn(3) { sched_yield() } }
      case 1:
        local.inUser {
          local.inKernel {
            read(&random)
            local.inKernel { read(&random) }
          }
          local.poll()
        }
      default:
        local.enterUser()
        local.enterKernel()
        read(&random)
      }
    }
    local.detach()
  }

  /// A housekeeper stays in kernel, and says now and then that it holds nothing.
  private func keepHouse(_ cpu: Int, _ random: inout SeededGenerator) {
    guard let local = try? coordinator.attach(to: cpu) else {
      sched_yield()
      return
    }
    while !stop.isSet {
      read(&random)
      switch random.below(4) {
      case 0: local.idle(for: .microseconds(10))
      case 1: local.safePoint()
      default: break
      }
      local.declareQuiescent()
    }
    local.detach()
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Probes that come and go while isolated CPUs, other threads and signal handlers hit their points.
  @Suite(.serialized) struct Probes {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var points = 8
      var hitters = 2
      var storms = 1
      var batch = 4
      var maximumActive: Int? = nil
      var testDescription: String {
        "seed \(seed): \(points) points, \(hitters) hitters, \(storms) storms of \(batch)"
          + (maximumActive.map { ", at most \($0) active" } ?? "")
      }
    }

    @Test(arguments: [
      Case(seed: 501),
      Case(seed: 502, points: 1, hitters: 3, storms: 2, batch: 1),
      Case(seed: 503, points: 300, hitters: 2, storms: 2, batch: 100),
      Case(seed: 504, points: 2, hitters: 4, storms: 1, batch: 2, maximumActive: 2),
    ])
    func noHandlerIsLate(_ test: Case) throws { try ProbeExperiment(test).run() }
  }
}

private final class ProbeExperiment: Sendable {
  private let test: StressTests.Probes.Case
  private let registry: ProbeRegistry
  private let points: [ProbePoint<UInt64>]
  private let coordinator: Coordinator
  private let violations = Violations()
  private let stop = SharedFlag()
  /// By probe number of the test: 1 from its attachment until its removal has returned.
  private let alive = WordTable(4096)
  private let hits = SharedCounter()
  private let scopes = SharedCounter()
  private let removals = SharedCounter()

  init(_ test: StressTests.Probes.Case) throws {
    self.test = test
    registry = try ProbeRegistry(capacity: 2048, activations: 64)
    let registry = self.registry
    points = (0..<test.points).map { ProbePoint<UInt64>("point\($0)", "round", in: registry) }
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<test.hitters + 1))
    configuration.pinning = .none
    configuration.watchdog = nil
    coordinator = try Coordinator(configuration)
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.6))
    // For as long as the test: its accounts have to agree to the last hit.
    let counted = try registry.attach(.count, to: "point0")
    let measured = try registry.attach(
      .latency, to: "point0", maximumActive: test.maximumActive)
    let hitters = (0..<test.hitters + 1).map { index in
      TestThread { [self] in hit(index) }
    }
    TestThread.run(test.storms) { [self] storm in
      var random = SeededGenerator(seed: test.seed, stream: 100 + storm)
      var round = 0
      while !until.isOver || round < 20 {
        self.storm(storm, round, &random)
        round += 1
      }
    }
    stop.set()
    for hitter in hitters { hitter.join() }
    let nested = registry.nestedHits
    violations.check(
      counted.hits == UInt64(hits.value + scopes.value),
      "\(hits.value) hits and \(scopes.value) scopes, \(counted.hits) counted")
    violations.check(
      measured.hits + measured.missed == UInt64(scopes.value),
      "\(scopes.value) scopes, \(measured.hits) measured and \(measured.missed) missed")
    violations.check(measured.histogram?.count == measured.hits, "the histogram lost some")
    violations.check(nested == 0, "\(nested) nested hits")
    violations.check(hits.value > 0 && removals.value > 0, "nothing was tested")
    let all = registry.remove([counted, measured], timeout: StressDuration.generous)
    violations.check(all == .removed, "\(all)")
    violations.expectNone(test.testDescription)
  }

  /// An isolated CPU, in user and in kernel; the last one is a thread that is no CPU.
  private func hit(_ index: Int) {
    var random = SeededGenerator(seed: test.seed, stream: index)
    var round: UInt64 = 0
    var (ownHits, ownScopes) = (0, 0)
    func step() {
      for _ in 0..<16 {
        let number = random.below(points.count)
        round += 1
        if random.oneIn(2) {
          points[number].hit(round)
          if number == 0 { ownHits += 1 }
        } else {
          let isNested = random.oneIn(8)
          points[number].measure(round) {
            if isNested { points[number].measure(round) {} }
          }
          if number == 0 { ownScopes += isNested ? 2 : 1 }
        }
      }
    }
    if index == test.hitters {
      while !stop.isSet { step() }
    } else {
      guard let cpu = try? coordinator.attach(to: index + 1) else {
        return violations.note("no CPU \(index + 1)")
      }
      while !stop.isSet {
        cpu.enterUser()
        step()
        cpu.enterKernel()
        step()
      }
      cpu.detach()
    }
    hits.add(ownHits)
    scopes.add(ownScopes)
  }

  /// Attaches a batch, turns it off and on, and removes it: nothing of it runs after that.
  private func storm(_ storm: Int, _ round: Int, _ random: inout SeededGenerator) {
    var probes: [ProbeRegistry.Probe] = []
    let first = storm * 2048
    for place in 0..<test.batch {
      let word = first + place
      alive.storeReleasing(word, 1)
      let check: @Sendable (borrowing ProbeRegistry.Hit) -> Void = { [self] hit in
        let isAlive = alive.load(word) == 1
        violations.check(isAlive, "a handler ran after its removal had returned")
      }
      do {
        let name = "point\(random.below(points.count))"
        probes.append(
          try registry.attach(
            random.oneIn(2) ? .call(check) : .call(onEntry: check, onReturn: check), to: name))
      } catch {
        violations.note("\(error)")
      }
    }
    if random.oneIn(3) {
      registry.setEnabled(probes, false)
      registry.setEnabled(probes, true)
    }
    let outcome = registry.remove(probes, timeout: StressDuration.generous)
    violations.check(outcome == .removed, "\(outcome)")
    for place in 0..<test.batch { alive.storeReleasing(first + place, 0) }
    removals.add()
  }
}

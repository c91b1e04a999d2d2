// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// Domains whose fence is the transition.
@Suite("HazardDomain by transition")
struct HazardTransitionTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let domain: HazardDomain
  let shared = SharedLink(1)
  let reclaimed = Counter()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
    domain = try coordinator.makeHazardDomain(reclamation: .explicit)
  }

  @Test("who is fenced by transition: an isolated CPU in kernel, and nobody else")
  func whoIsFenced() throws {
    let core = domain.core
    #expect(!core.isFencedByTransition)
    let isFenced = { @Sendable () -> Bool in
      HazardThread.learnRole()
      return core.isFencedByTransition
    }
    #expect(try cpu.run { _ in isFenced() })
    #expect(try !cpu.run { cpu in cpu.inUser { isFenced() } })
    #expect(try cpu.run { cpu in cpu.inUser { cpu.inKernel { isFenced() } } })
    #expect(try !cpu.run { cpu in cpu.inGuest { isFenced() } })
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    #expect(try !housekeeper.run { _ in isFenced() })
    // A CPU of another coordinator.
    let other = try Coordinator(.scripted())
    let stranger = try ScriptedThread(other, on: 1)
    #expect(try !stranger.run { _ in isFenced() })
    try stranger.end()
    try housekeeper.end()
    try cpu.end()
    #expect(try PlainThread.start { !isFenced() }.value())
  }

  @Test("whichever way an isolated CPU protects first, it finds out that it needs no fence")
  func whoFindsOut() throws {
    let core = domain.core
    let link = shared
    let isFencedBehindTrying = try cpu.run { [domain] _ in
      var hazard = HazardPointer(in: domain)
      var expected = link.link.load()
      return hazard.tryProtect(&expected, in: link.link) && core.isFencedByTransition
    }
    #expect(isFencedBehindTrying)
    let other = try ScriptedThread(coordinator, on: 2)
    let isFencedBehindAcquiring = try other.run { [domain] _ in
      var hazard = HazardPointer(in: domain)
      _ = hazard.acquire(link.link)
      return core.isFencedByTransition
    }
    #expect(isFencedBehindAcquiring)
    try other.end()
    try cpu.end()
  }

  @Test("an isolated CPU in kernel holds back what is retired meanwhile, until it leaves")
  func waitsForTheSection() throws {
    shared.replace(with: 2, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 0)
    #expect(domain.barrier(timeout: .milliseconds(5)) == .timedOut([1]))
    let obstacles = domain.obstacles()
    #expect(obstacles == [HazardDomain.Obstacle(kind: .cpu(1), address: 0)])
    #expect(obstacles.first?.description == "CPU 1 has not left kernel")
    try cpu.enterUser()
    #expect(domain.reclaim() == 1)
    // In user it is not waited for.
    shared.replace(with: 3, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 1)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a protection is kept over transitions, and holds back its object alone")
  func keepsOver() throws {
    let holder = Holder(domain)
    let shared = self.shared
    try cpu.run { _ in holder.protect(shared) }
    try cpu.enterUser()
    try cpu.enterKernel()
    try cpu.enterUser()
    self.shared.replace(with: 2, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 0)
    self.shared.replace(with: 3, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 1)
    holder.reset()
    #expect(domain.reclaim() == 1)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a CPU in user protects by a fence")
  func inUser() throws {
    let holder = Holder(domain)
    let shared = self.shared
    try cpu.run { cpu in cpu.enterUser() }
    try cpu.run { _ in holder.protect(shared) }
    self.shared.replace(with: 2, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 0)
    try cpu.run { _ in holder.reset() }
    #expect(domain.reclaim() == 1)
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("threads that attach and detach in between")
  func changesHands() throws {
    let holder = Holder(domain)
    holder.protect(shared)
    shared.replace(with: 2, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 0)
    try cpu.end()
    #expect(domain.reclaim() == 0)
    let next = try ScriptedThread(coordinator, on: 1)
    holder.reset()
    // The CPU has moved since, whoever is attached now.
    #expect(domain.reclaim() == 1)
    let shared = self.shared
    try next.run { _ in holder.protect(shared) }
    try next.end()
    self.shared.replace(with: 3, in: domain, counting: reclaimed)
    #expect(domain.reclaim() == 0)
    holder.reset()
    #expect(domain.reclaim() == 1)
  }

  @Test("what an isolated CPU retires is reclaimed elsewhere")
  func retiresOnIsolated() throws {
    let domain = try coordinator.makeHazardDomain(reclamation: .retiring)
    let thread = try ScriptedThread(coordinator, on: 2)
    let reclaimed = self.reclaimed
    try thread.run { _ in
      for value in 0..<10_000 { unsafe domain.retire(Witness.make(value), counting: reclaimed) }
    }
    #expect(reclaimed.value == 0)
    try thread.end()
    try cpu.end()
    #expect(domain.reclaim() == 10_000)
  }

  @Test("the library's thread looks after what isolated CPUs retire")
  func background() throws {
    let domain = try coordinator.makeHazardDomain()
    let reclaimed = self.reclaimed
    try cpu.run { _ in
      for value in 0..<10_000 { unsafe domain.retire(Witness.make(value), counting: reclaimed) }
    }
    try cpu.enterUser()
    #expect(eventually { reclaimed.value >= 9_000 })
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("membarriers are refused where isolated CPUs would be interrupted")
  func membarrierRefused() throws {
    let error = coordinatorError { _ = try coordinator.makeHazardDomain(fence: .membarrier) }
    #expect(error?.code == .fenceRefused)
    #expect(error?.description == "a membarrier would interrupt the isolated CPUs 1-2")
    try cpu.end()
  }

  @Test(
    "a coordinator without isolated CPUs has membarriers",
    .enabled("where the system has them") { HazardDomain.Fence.hasMembarrier })
  func membarrier() throws {
    let quiet = try Coordinator(.init(housekeeping: [0], isolated: []))
    let domain = try quiet.makeHazardDomain(fence: .membarrier, reclamation: .explicit)
    #expect(domain.withProtected(shared.link) { $0.value } == 1)
    shared.replace(with: nil, in: domain)
    #expect(domain.reclaim() == 1)
    try cpu.end()
  }

  @Test("a domain outlives its coordinator")
  func outlives() throws {
    let domain: HazardDomain
    do {
      let coordinator = try Coordinator(.scripted())
      domain = try coordinator.makeHazardDomain(reclamation: .explicit)
    }
    #expect(domain.withProtected(shared.link) { $0.value } == 1)
    shared.replace(with: nil, in: domain)
    #expect(domain.reclaim() == 1)
    try cpu.end()
  }

  /// A holder that steps of several threads use, one after the other.
  private final class Holder: Sendable {
    private let hazard: Guarded<Cell>
    private final class Cell: @unchecked Sendable {
      var hazard: HazardPointer
      init(_ domain: HazardDomain) { hazard = HazardPointer(in: domain) }
    }
    init(_ domain: HazardDomain) { hazard = Guarded(Cell(domain)) }
    func protect(_ shared: SharedLink) {
      hazard.withLock { _ = $0.hazard.protect(shared.link) }
    }
    func reset() { hazard.withLock { $0.hazard.reset() } }
  }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("HazardDomain")
struct HazardDomainTests {
  let reclaimed = Counter()

  @Test("a scope protects, by any fence", arguments: HazardDomain.Fence.offered)
  func scope(fence: HazardDomain.Fence) throws {
    let domain = try HazardDomain(fence: fence, reclamation: .explicit)
    let shared = SharedLink(1)
    let value = domain.withProtected(shared.link) { node in
      shared.replace(with: 2, in: domain, counting: reclaimed)
      #expect(domain.reclaim() == 0)
      let isSound = node.isSound
      #expect(isSound)
      return node.value
    }
    #expect(value == 1)
    #expect(domain.reclaim() == 1)
    #expect(domain.counts == HazardDomain.Counts(retired: 1, reclaimed: 1))
  }

  @Test("scopes may be nested deeper than a line has slots")
  func nested() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let links = (0..<40).map { SharedLink($0) }
    func protectAll(from index: Int) {
      guard index < links.count else {
        for link in links { link.replace(with: nil, in: domain) }
        #expect(domain.reclaim() == 0)
        return
      }
      domain.withProtected(links[index].link) { node in
        protectAll(from: index + 1)
        let isWhole = node.isSound && node.value == index
        #expect(isWhole)
      }
      // The outer ones are protected still.
      #expect(domain.reclaim() == 1)
    }
    protectAll(from: 0)
    #expect(domain.counts.pending == 0)
    #expect(domain.core.scan.holders.load(ordering: .relaxed) == 0)
  }

  @Test("an error leaves no protection behind")
  func throwing() throws {
    struct Stop: Error {}
    let domain = try HazardDomain(reclamation: .explicit)
    let shared = SharedLink(1)
    #expect(throws: Stop.self) {
      try domain.withProtected(shared.link) { _ in throw Stop() }
    }
    shared.replace(with: nil, in: domain)
    #expect(domain.reclaim() == 1)
  }

  @Test("a protected head does not protect what it leads to")
  func chains() throws {
    struct Cell: ~Copyable {
      let next = HazardLink<Witness>()
    }
    let domain = try HazardDomain(reclamation: .explicit)
    let cell = UnsafeMutablePointer<Cell>.allocate(capacity: 1)
    unsafe cell.initialize(to: Cell())
    unsafe cell.pointee.next.store(.init(Witness.make(2)))
    let head = unsafe HazardLink<Cell>(cell)
    domain.withProtected(head) { cell in
      let second = unsafe cell.next.exchange(.init(nil)).node
      unsafe domain.retire(second.unsafelyUnwrapped, counting: reclaimed)
      #expect(domain.reclaim() == 1)
      #expect(domain.withProtected(cell.next) { $0.value } == nil)
    }
    unsafe cell.deinitialize(count: 1)
    unsafe cell.deallocate()
  }

  @Test("an instance is released when it is reclaimed, once")
  func instances() throws {
    final class Object {
      let counter: Counter
      init(_ counter: Counter) { self.counter = counter }
      deinit { counter.increment() }
    }
    let domain = try HazardDomain(reclamation: .explicit)
    unsafe domain.retire(instance: Unmanaged.passRetained(Object(reclaimed)))
    #expect(reclaimed.value == 0)
    #expect(domain.reclaim() == 1)
    #expect(reclaimed.value == 1)
  }

  @Test("what is left is reclaimed when the domain ends, reclaimers' own retirements included")
  func end() throws {
    do {
      let domain = try HazardDomain(reclamation: .explicit)
      for value in 0..<100 { unsafe domain.retire(Witness.make(value), counting: reclaimed) }
    }
    #expect(reclaimed.value == 100)
  }

  @Test("holders keep their domain")
  func holdersKeepIt() throws {
    let shared = SharedLink(1)
    weak var observed: HazardDomain? = nil
    do {
      var hazard: HazardPointer
      do {
        let domain = try HazardDomain(reclamation: .explicit)
        observed = domain
        hazard = HazardPointer(in: domain)
        shared.replace(with: nil, in: domain, counting: reclaimed)
      }
      _ = hazard.protect(shared.link)
      #expect(observed != nil)
    }
    #expect(observed == nil)
    #expect(reclaimed.value == 1)
  }

  @Test("a reclaimer may retire")
  func retiresInside() throws {
    final class Chain: Sendable {
      let domain: HazardDomain
      let counter: Counter
      init(_ domain: HazardDomain, _ counter: Counter) {
        (self.domain, self.counter) = (domain, counter)
      }
    }
    let domain = try HazardDomain(reclamation: .explicit)
    let chain = Chain(domain, reclaimed)
    let context = unsafe Unmanaged.passUnretained(chain).toOpaque()
    unsafe domain.retire(UnsafeMutableRawPointer(Witness.make(1)), context: context) {
      address, context in
      unsafe address.assumingMemoryBound(to: Witness.self).deallocate()
      let chain = unsafe Unmanaged<Chain>.fromOpaque(context!).takeUnretainedValue()
      unsafe chain.domain.retire(Witness.make(2), counting: chain.counter)
    }
    #expect(domain.reclaim() == 1)
    #expect(reclaimed.value == 0)
    #expect(domain.reclaim() == 1)
    #expect(reclaimed.value == 1)
    withExtendedLifetime(chain) {}
  }

  @Test("a thread's batch is found after the thread has ended")
  func threadsEnd() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    for round in 1...20 {
      try PlainThread.start { [reclaimed] in
        for value in 0..<10 { unsafe domain.retire(Witness.make(value), counting: reclaimed) }
      }.value()
      #expect(domain.counts.retired == UInt64(10 * round))
    }
    #expect(domain.reclaim() == 200)
    #expect(domain.counts.pending == 0)
  }

  @Test("whoever retires reclaims, and what is unreclaimed keeps to the bound")
  func retiring() throws {
    let domain = try HazardDomain(reclamation: .retiring)
    let shared = SharedLink(0)
    var hazard = HazardPointer(in: domain)
    _ = hazard.protect(shared.link)
    let bound = try #require(domain.unreclaimedBound)
    for value in 1...20_000 {
      shared.replace(with: value, in: domain, counting: reclaimed)
      if value.isMultiple(of: 100) { #expect(domain.counts.pending <= UInt64(bound)) }
    }
    #expect(reclaimed.value > 0)
    hazard.reset()
    #expect(domain.barrier() == .settled)
    #expect(reclaimed.value == 20_000)
  }

  @Test("the library's thread reclaims, and not the one that retires")
  func thread() throws {
    let domain = try HazardDomain()
    #expect(domain.unreclaimedBound == nil)
    let own = pthread_self()
    let wasOwn = Counter()
    let context = unsafe Unmanaged.passUnretained(Pair(reclaimed, wasOwn, own)).toOpaque()
    let pair = unsafe Unmanaged<Pair>.fromOpaque(context).retain()
    for value in 0..<10_000 {
      unsafe domain.retire(UnsafeMutableRawPointer(Witness.make(value)), context: context) {
        address, context in
        unsafe address.assumingMemoryBound(to: Witness.self).deallocate()
        let pair = unsafe Unmanaged<Pair>.fromOpaque(context!).takeUnretainedValue()
        pair.reclaimed.increment()
        if pthread_equal(pair.thread, pthread_self()) != 0 { pair.own.increment() }
      }
    }
    #expect(eventually { reclaimed.value > 0 })
    #expect(wasOwn.value == 0)
    #expect(domain.barrier() == .settled)
    #expect(reclaimed.value == 10_000)
    unsafe pair.release()
  }

  private final class Pair: Sendable {
    let reclaimed: Counter
    let own: Counter
    let thread: pthread_t
    init(_ reclaimed: Counter, _ own: Counter, _ thread: pthread_t) {
      (self.reclaimed, self.own, self.thread) = (reclaimed, own, thread)
      _ = unsafe Unmanaged.passRetained(self)
    }
  }

  @Test("the shared domain is one, and works")
  func sharedDomain() {
    let domain = HazardDomain.shared
    #expect(domain === HazardDomain.shared)
    let shared = SharedLink(3)
    #expect(domain.withProtected(shared.link) { $0.value } == 3)
    shared.replace(with: nil, in: domain, counting: reclaimed)
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
    #expect(reclaimed.value == 1)
  }

  @Test("a barrier names the thread and the holder that hold back")
  func barrierNames() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let first = SharedLink(1)
    let second = SharedLink(2)
    let address = { (link: SharedLink) in unsafe UInt(bitPattern: link.link.load().node) }
    let (firstAddress, secondAddress) = (address(first), address(second))
    var hazard = HazardPointer(in: domain)
    _ = hazard.protect(second.link)
    let isThere = Flag()
    let mayGo = Flag()
    let step = PlainThread.start {
      domain.withProtected(first.link) { _ in
        isThere.raise()
        mayGo.wait()
      }
      return cpiThreadID()
    }
    isThere.wait()
    first.replace(with: nil, in: domain)
    second.replace(with: nil, in: domain)
    #expect(domain.barrier(timeout: .milliseconds(5)) == .timedOut([]))
    let obstacles = domain.obstacles()
    mayGo.raise()
    let thread = try #require(try step.value())
    #expect(
      Set(obstacles) == [
        HazardDomain.Obstacle(kind: .scope(thread: thread), address: firstAddress),
        HazardDomain.Obstacle(kind: .holder, address: secondAddress),
      ])
    #expect(obstacles.allSatisfy { $0.description.contains("protects the object at 0x") })
    hazard.reset()
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
  }

  @Test("a cohort is waited for alone")
  func cohorts() throws {
    let domain = try HazardDomain(reclamation: .explicit)
    let (mine, others) = (domain.makeCohort(), domain.makeCohort())
    #expect(mine != others)
    let shared = SharedLink(1)
    var hazard = HazardPointer(in: domain)
    _ = hazard.protect(shared.link)
    unsafe domain.retire(shared.link.exchange(.init(nil)).node!, cohort: others)
    for value in 0..<100 {
      unsafe domain.retire(Witness.make(value), counting: reclaimed, cohort: mine)
    }
    #expect(domain.barrier(cohort: mine, timeout: .seconds(20)) == .settled)
    #expect(reclaimed.value == 100)
    #expect(domain.barrier(cohort: others, timeout: .zero) == .timedOut([]))
    #expect(domain.obstacles(to: mine).isEmpty)
    #expect(domain.obstacles(to: others).map(\.kind) == [.holder])
    hazard.reset()
    #expect(domain.barrier(cohort: others, timeout: .seconds(20)) == .settled)
  }
}

private func cpiThreadID() -> Int32? { CurrentThread.id }

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("HazardPointer")
struct HazardPointerTests {
  let domain: HazardDomain
  let shared = SharedLink(1)
  let reclaimed = Counter()

  init() throws { domain = try HazardDomain(reclamation: .explicit) }

  private func replace(with value: Int?) {
    shared.replace(with: value, in: domain, counting: reclaimed)
  }

  @Test("what a holder protects stays, and goes when it protects something else")
  func protects() throws {
    var hazard = HazardPointer(in: domain)
    let first = unsafe hazard.protect(shared.link).node
    #expect(unsafe first?.pointee.value == 1)
    replace(with: 2)
    #expect(domain.reclaim() == 0)
    #expect(unsafe first?.pointee.isSound == true)
    _ = hazard.protect(shared.link)
    #expect(domain.reclaim() == 1)
    replace(with: nil)
    #expect(domain.reclaim() == 0)
    hazard.reset()
    #expect(domain.reclaim() == 1)
    #expect(reclaimed.value == 2)
  }

  @Test("an empty link protects nothing")
  func empty() {
    replace(with: nil)
    var hazard = HazardPointer(in: domain)
    #expect(unsafe hazard.protect(shared.link).node == nil)
    #expect(unsafe hazard.acquire(shared.link).node == nil)
    #expect(hazard.withProtected(shared.link) { $0.value } == nil)
    #expect(domain.reclaim() == 1)
  }

  @Test("a try protects what is expected and nothing else")
  func tries() {
    var hazard = HazardPointer(in: domain)
    var expected = shared.link.load()
    #expect(hazard.tryProtect(&expected, in: shared.link))
    replace(with: 2)
    #expect(domain.reclaim() == 0)
    var stale = expected
    #expect(!hazard.tryProtect(&stale, in: shared.link))
    #expect(stale == shared.link.load())
    #expect(domain.reclaim() == 1)
    replace(with: nil)
    // The failed try protects nothing, though it found the node.
    #expect(domain.reclaim() == 1)
  }

  @Test("the mark of a link is not part of what is protected")
  func marks() throws {
    let node = try unsafe #require(shared.link.load().node)
    unsafe shared.link.store(.init(node, isMarked: true))
    var hazard = HazardPointer(in: domain)
    let found = hazard.protect(shared.link)
    #expect(unsafe found.isMarked && found.node == node)
    replace(with: nil)
    #expect(domain.reclaim() == 0)
    hazard.reset()
    #expect(domain.reclaim() == 1)
  }

  @Test("an acquisition protects, and leaves no wildcard behind")
  func acquires() {
    var hazard = HazardPointer(in: domain)
    #expect(unsafe hazard.acquire(shared.link).node?.pointee.value == 1)
    replace(with: 2)
    #expect(domain.reclaim() == 0)
    // The others go: it is the node that is held back, not the domain.
    replace(with: 3)
    #expect(domain.reclaim() == 1)
    hazard.reset()
    #expect(domain.reclaim() == 1)
  }

  @Test("a wildcard holds everything back while it stands, and is named")
  func wildcard() {
    let slot = domain.core.takeHolderSlot()
    slot.value.store(1, ordering: .sequentiallyConsistent)
    replace(with: 2)
    #expect(domain.reclaim() == 0)
    #expect(domain.barrier(timeout: .zero) == .timedOut([]))
    let obstacles = domain.obstacles()
    #expect(obstacles == [HazardDomain.Obstacle(kind: .holder, address: 0)])
    #expect(obstacles.first?.description == "a holder is acquiring")
    // One of the date of a later scan does not.
    slot.value.store(UInt.max, ordering: .sequentiallyConsistent)
    #expect(domain.reclaim() == 1)
    slot.value.store(0, ordering: .releasing)
    domain.core.giveBackHolderSlot(slot)
  }

  @Test("a protection goes with its holder to another thread")
  func moves() throws {
    struct Parcel: ~Copyable, Sendable { var hazard: HazardPointer }
    var hazard = HazardPointer(in: domain)
    _ = hazard.protect(shared.link)
    let parcel = Mutex<Parcel?>(Parcel(hazard: hazard))
    replace(with: nil)
    #expect(domain.reclaim() == 0)
    let box = Box(parcel)
    try PlainThread.start { box.content.withLock { $0 = nil } }.value()
    #expect(domain.reclaim() == 1)
  }

  /// Something that cannot be copied, for closures that can.
  private final class Box<Content: ~Copyable & Sendable>: Sendable {
    let content: Content
    init(_ content: consuming Content) { self.content = content }
  }

  @Test("a protection outlasts suspensions")
  func suspends() async {
    var hazard = HazardPointer(in: domain)
    let isSound = Mutex(0)
    _ = hazard.protect(shared.link)
    let node = unsafe UInt(bitPattern: shared.link.load().node)
    replace(with: nil)
    for _ in 0..<50 {
      await Task.yield()
      domain.reclaim()
      let witness = unsafe UnsafePointer<Witness>(bitPattern: node).unsafelyUnwrapped
      if unsafe witness.pointee.isSound { isSound.withLock { $0 += 1 } }
    }
    #expect(isSound.withLock { $0 } == 50)
    hazard.reset()
    #expect(domain.reclaim() == 1)
  }

  @Test("two holders exchange what they protect")
  func swaps() {
    var first = HazardPointer(in: domain)
    var second = HazardPointer(in: domain)
    _ = first.protect(shared.link)
    swap(&first, &second)
    replace(with: nil)
    first.reset()
    #expect(domain.reclaim() == 0)
    second.reset()
    #expect(domain.reclaim() == 1)
  }

  @Test("there are slots for a hundred thousand holders, each of its own")
  func manyHolders() {
    final class Chain {
      var hazard: HazardPointer
      let next: Chain?
      init(_ domain: HazardDomain, _ next: Chain?) {
        hazard = HazardPointer(in: domain)
        self.next = next
      }
      deinit {
        // Not by recursion.
        withExtendedLifetime(next) {}
      }
    }
    var holders: [Chain] = []
    var nodes: [SharedLink] = []
    for value in 0..<100_000 {
      let chain = Chain(domain, nil)
      let link = SharedLink(value)
      _ = chain.hazard.protect(link.link)
      holders.append(chain)
      nodes.append(link)
    }
    for link in nodes { link.replace(with: nil, in: domain, counting: reclaimed) }
    #expect(domain.reclaim() == 0)
    for index in stride(from: 0, to: holders.count, by: 2) { holders[index].hazard.reset() }
    #expect(domain.reclaim() == 50_000)
    holders.removeAll()
    #expect(domain.reclaim() == 50_000)
    #expect(domain.core.scan.holders.load(ordering: .relaxed) == 0)
    #expect(domain.counts.pending == 0)
  }

  @Test("a slot that was given back is used again, and is empty")
  func slotsAreReused() {
    var seen: Set<UInt> = []
    for _ in 0..<1000 {
      var hazard = HazardPointer(in: domain)
      _ = hazard.protect(shared.link)
      seen.insert(hazard.slot.bits)
    }
    #expect(seen.count == 1)
    replace(with: nil)
    #expect(domain.reclaim() == 1)
  }

  @Test("slots of two threads share no line")
  func linesOfTheirOwn() throws {
    let domain = self.domain
    let own = HazardPointer(in: domain)
    let other = try PlainThread.start {
      let hazard = HazardPointer(in: domain)
      return hazard.slot.bits / 128
    }.value()
    #expect(own.slot.bits / 128 != other)
    withExtendedLifetime(shared) {}
  }

  // The handler can be passed nothing.
  nonisolated(unsafe) private static var handlersHazard: UnsafeMutablePointer<HazardPointer>? = nil
  nonisolated(unsafe) private static var handlersLink: UnsafePointer<HazardLink<Witness>>? = nil
  nonisolated(unsafe) private static var handlersFind = 0

  @Test("a holder made beforehand protects in a signal handler", .needsQueuedSignals)
  func signals() throws {
    let hazard = UnsafeMutablePointer<HazardPointer>.allocate(capacity: 1)
    unsafe hazard.initialize(to: HazardPointer(in: domain))
    let link = UnsafeMutablePointer<HazardLink<Witness>>.allocate(capacity: 1)
    unsafe link.initialize(to: HazardLink(Witness.make(7)))
    unsafe Self.handlersHazard = unsafe hazard
    unsafe Self.handlersLink = unsafe UnsafePointer(link)
    let number = realTimeSignal
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in
      let link = unsafe HazardPointerTests.handlersLink.unsafelyUnwrapped
      let node = unsafe HazardPointerTests.handlersHazard.unsafelyUnwrapped.pointee
        .protectInSignalHandler(link.pointee).node
      unsafe HazardPointerTests.handlersFind = unsafe node?.pointee.value ?? -1
    }
    try #require(unsafe sigaction(number, &action, nil) == 0)
    try PlainThread.start {
      // The pool's threads block signals, and theirs inherit that.
      var mask = sigset_t()
      unsafe sigemptyset(&mask)
      unsafe sigaddset(&mask, number)
      unsafe pthread_sigmask(SIG_UNBLOCK, &mask, nil)
      pthread_kill(pthread_self(), number)
    }.value()
    #expect(unsafe Self.handlersFind == 7)
    let old = try unsafe #require(link.pointee.exchange(.init(nil)).node)
    unsafe domain.retire(old)
    #expect(domain.reclaim() == 0)
    unsafe hazard.pointee.reset()
    #expect(domain.reclaim() == 1)
    signal(number, SIG_IGN)
    unsafe hazard.deinitialize(count: 1)
    unsafe hazard.deallocate()
    unsafe link.deallocate()
  }
}

/// One that nobody else uses.
private let realTimeSignal: Int32 = 61

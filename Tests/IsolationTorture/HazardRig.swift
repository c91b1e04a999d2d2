// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Synchronization

/// Nodes under hazard pointers, which are unlinked, retired and used again, and a reference that is replaced.
// Sendable: the nodes are atomics in memory that never moves, the list of free ones is under a mutex.
@safe
final class HazardRig: @unchecked Sendable {
  private static let nodeCount = 1024
  private let domain: HazardDomain
  private let torture: Torture
  private let nodes: UnsafeMutablePointer<HazardNode>
  private let links: UnsafeMutablePointer<HazardLink<HazardNode>>
  private static let linkCount = 4
  private let free: Mutex<[Int]>
  private let numbers = WordTable(1)
  private let reference: ProtectedReference<HazardObject>
  private let living = WordTable(HazardObject.places)

  init(_ domain: HazardDomain, _ torture: Torture) {
    self.domain = domain
    self.torture = torture
    // Safety: this object's own, until the process ends: a reclaimer may be late.
    unsafe nodes = .allocate(capacity: Self.nodeCount)
    for index in 0..<Self.nodeCount { unsafe (nodes + index).initialize(to: HazardNode()) }
    unsafe links = .allocate(capacity: Self.linkCount)
    for index in 0..<Self.linkCount { unsafe (links + index).initialize(to: HazardLink()) }
    free = Mutex(Array(0..<Self.nodeCount))
    reference = ProtectedReference(HazardObject(living), in: domain)
  }

  // MARK: Reading

  /// Protects a node in one way or another, and uses it.
  func read(_ turn: inout Turn) {
    let link = turn.random.below(Self.linkCount)
    switch turn.random.below(5) {
    case 0:
      // Safety: a link of this object.
      _ = unsafe domain.withProtected(links[link]) { node in use(node, &turn) }
    case 1:
      var hazard = HazardPointer(in: domain)
      if let node = unsafe hazard.protect(links[link]).node { unsafe use(node.pointee, &turn) }
      hazard.reset()
    case 2:
      var hazard = HazardPointer(in: domain)
      if let node = unsafe hazard.acquire(links[link]).node { unsafe use(node.pointee, &turn) }
    case 3:
      var hazard = HazardPointer(in: domain)
      var expected = unsafe links[link].load()
      if unsafe hazard.tryProtect(&expected, in: links[link]), let node = unsafe expected.node {
        unsafe use(node.pointee, &turn)
      }
    default:
      reference.withObject { object in
        turn.check(object.isLiving, "an object that had ended was found")
        turn.spin(200)
        turn.check(object.isLiving, "an object ended while it was protected")
      }
    }
    turn.count(.protection)
  }

  private func use(_ node: borrowing HazardNode, _ turn: inout Turn) {
    let stamp = node.stamp.load(ordering: .relaxed)
    turn.check(stamp != 0, "a node that had been reclaimed was found")
    turn.reach(.whileHolding)
    turn.spin(200)
    let now = node.stamp.load(ordering: .relaxed)
    turn.check(now == stamp, "a node was reclaimed while it was protected")
  }

  // MARK: Writing

  /// Replaces a node, or the object.
  func replace(mayReclaim: Bool, _ turn: inout Turn) {
    if turn.random.oneIn(4) {
      reference.replace(with: HazardObject(living))
      return turn.count(.retirement)
    }
    guard let index = free.withLock({ $0.popLast() }) else {
      if mayReclaim { _ = domain.barrier(timeout: .milliseconds(100)) }
      return
    }
    let node = unsafe nodes + index
    unsafe node.pointee.stamp.store(numbers.add(0), ordering: .relaxed)
    let link = turn.random.below(Self.linkCount)
    let old = unsafe links[link].exchange(.init(node))
    guard let old = unsafe old.node else { return }
    turn.reach(.beforeReuse)
    if turn.bug == .earlyFree { return unsafe reclaim(old) }
    // Safety: this object outlives the domain's last reclaimer.
    unsafe domain.retire(old, context: Unmanaged.passUnretained(self).toOpaque()) { node, rig in
      unsafe Unmanaged<HazardRig>.fromOpaque(rig.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef {
          $0.torture.faults.reachInHandler(.inReclaimer)
          unsafe $0.reclaim(node.assumingMemoryBound(to: HazardNode.self))
        }
    }
    turn.count(.retirement)
    if mayReclaim, turn.random.oneIn(64) { domain.reclaim() }
    if mayReclaim, turn.random.oneIn(512) { _ = domain.obstacles() }
  }

  private func reclaim(_ node: UnsafeMutablePointer<HazardNode>) {
    unsafe node.pointee.stamp.store(0, ordering: .relaxed)
    let index = unsafe node - nodes
    free.withLock { $0.append(index) }
  }

  /// Whether everything that was retired is reclaimed, once nobody reads.
  func finish() {
    let outcome = domain.barrier(timeout: Torture.generous)
    let counts = domain.counts
    torture.violations.check(
      outcome == .settled && counts.pending == 0,
      "a barrier was \(outcome), with \(counts.pending) of \(counts.retired) objects left: \(domain.obstacles())"
    )
    let isEmpty = free.withLock { $0.count } + Self.linkCount >= Self.nodeCount
    torture.violations.check(isEmpty, "nodes were lost")
  }
}

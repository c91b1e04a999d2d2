// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// Reclaims what readers may still be using, as soon as none does: hazard pointers.
///
///     let domain = try HazardDomain()
///     …
///     let found = domain.withProtected(table.bucket(of: key)) { node in node.value }  // a reader
///     …
///     let old = table.bucket(of: key).exchange(.init(replacement))  // a writer
///     domain.retire(old.node!) { address, _ in free(address) }  // when no reader uses it
///
/// Readers write one word of their own and look at no count that others write, so any number of them
/// costs each no more than one. A reader that is held up holds back the one object that it protects,
/// and no other. By `.thread`, the default, what no reader protects any more is gone within
/// `maximumAge`, 10 ms, and earlier where much is retired; by the other two it waits, in batches of
/// 62, until somebody retires or asks.
///
/// A domain belongs to a data structure, or to several that are happy to wait for each other's
/// readers; `shared` is for what needs none of its own. It ends when nothing refers to it, holders
/// included, and whoever lets go of it last reclaims what is left, an isolated CPU too: keep it in
/// something that outlives them, and ask for a `barrier` before.
///
/// | who pays for the order of a reader's store and load | reader | pass |
/// |---|---|---|
/// | `.full` | a locked instruction | a fence |
/// | by transition: `Coordinator.makeHazardDomain` | an isolated CPU in kernel: nothing; others as above | waits until each isolated CPU has left kernel since |
/// | `.membarrier` | nothing | a system call that interrupts every running thread of the process |
///
/// Do not use it for objects that Swift counts anyway and that are read seldom: a reference costs
/// less thought. Use a grace period where readers walk through many nodes.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: when made
public final class HazardDomain: Sendable {
  @usableFromInline let core: HazardCore
  let scanner: HazardScanner
  /// Who runs the reclaimers.
  public let reclamation: Reclamation
  /// By `.thread`: how long an object may wait that no reader protects, and no isolated CPU holds
  /// back, as far as the thread gets a processor.
  public let maximumAge: Duration
  /// How many bytes may wait before a pass begins at once; nil without a limit. It counts what
  /// `retire` was told.
  public let maximumBytes: Int?
  private let memory: MappedMemory
  /// Keeps the CPUs' memory, and knows them.
  let home: (any HazardHome)?

  /// How the order between a reader's store to its slot and its look at the link is kept.
  public enum Fence: Hashable, Sendable {
    /// By a locked instruction of the reader.
    case full
    /// By the membarrier system call of whoever makes a pass, which interrupts every running thread
    /// of the process, isolated ones included: for programs that have none.
    case membarrier
  }

  /// Who runs reclaimers while the domain is there. Never an isolated CPU: what it retires waits for
  /// somebody else.
  public enum Reclamation: Hashable, Sendable {
    /// A thread of the library's, one for all domains, in the background: never under the caller's
    /// locks.
    case thread
    /// Whoever retires, now and then, inside `retire`: for callers that hold no lock which a
    /// reclaimer takes. The one way that bounds what is unreclaimed.
    case retiring
    /// Whoever calls `reclaim` or `barrier`.
    case explicit
  }

  /// For whatever needs no domain of its own: full fences, reclaimed in the background.
  ///
  /// Keep it in a constant where it is used often: each look at a global costs a nanosecond.
  public static let shared = makeShared()

  private static func makeShared() -> HazardDomain {
    do { return try HazardDomain() } catch { misuse("there is no shared hazard domain: \(error)") }
  }

  /// Makes a domain.
  ///
  ///     let tables = try HazardDomain(maximumAge: .milliseconds(1), maximumBytes: 64 << 20)
  ///
  /// - Parameters:
  ///   - fence: how a reader's store and look are kept in order; see the table above.
  ///   - reclamation: who runs the reclaimers.
  ///   - maximumAge: how long what nobody protects may wait for its reclaimer.
  ///   - maximumBytes: how many bytes may wait before a pass comes at once; nil for no limit.
  /// - Throws: `fenceRefused` where the system has no membarrier, `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public convenience init(
    fence: Fence = .full, reclamation: Reclamation = .thread,
    maximumAge: Duration = HazardDomain.defaultMaximumAge, maximumBytes: Int? = nil
  ) throws(IsolationError) {
    if fence == .membarrier {
      let error = cpi_membarrier_register()
      if error != 0 {
        throw IsolationError(.fenceRefused, errno: error, "the system refuses membarriers")
      }
    }
    try self.init(
      fencing: fence == .full ? HazardFencing.full : HazardFencing.membarrier,
      reclamation: reclamation, maximumAge: maximumAge, maximumBytes: maximumBytes, slots: nil,
      isolated: CPUMask(), home: nil)
  }

  /// 10 ms.
  public static var defaultMaximumAge: Duration { .milliseconds(10) }

  init(
    fencing: UInt, reclamation: Reclamation,
    maximumAge: Duration = HazardDomain.defaultMaximumAge, maximumBytes: Int? = nil,
    slots: CPUSlots?, isolated: CPUMask, home: (any HazardHome)?
  ) throws(IsolationError) {
    memory = try MappedMemory(byteCount: HazardCore.byteCount)
    core = HazardCore(
      initializing: memory.address, fencing: fencing, slots: slots)
    scanner = HazardScanner(core: core, slots: slots, isolated: isolated)
    self.reclamation = reclamation
    self.maximumAge = maximumAge
    self.maximumBytes = maximumBytes
    self.home = home
    beginReclamation()
  }

  deinit {
    endReclamation()
    scanner.finish()
    core.unmapHolderChunks()
  }

  // MARK: Reading

  /// Lends the node that the link leads to, protected for as long as the body runs; nil if there is
  /// none.
  ///
  ///     domain.withProtected(head) { node in node.value }
  ///
  /// The body borrows the node and cannot keep it: a node that is `~Copyable` cannot leave. Bodies
  /// may be nested, to any depth. A body that must not lose its protection at an `await` uses a
  /// ``HazardPointer``.
  ///
  /// - Parameters:
  ///   - link: of this domain: every thread that unlinks from it retires there.
  ///   - body: runs at most once.
  /// - Returns: what `body` returned; nil if the link leads nowhere.
  /// - Throws: what `body` throws.
  /// - Progress: wait-free on an isolated CPU in kernel in a domain by transition; else lock-free:
  ///   it looks again when the link has changed
  /// - Context: any thread; not in a signal handler
  /// - Allocates: never, but for a scope that is nested deeper than 13
  @inlinable @inline(__always)
  public func withProtected<Node: ~Copyable, Result: ~Copyable, Failure: Error>(
    _ link: borrowing HazardLink<Node>, _ body: (borrowing Node) throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    let scope = core.beginScope()
    defer { core.endScope(scope) }
    let content = core.protect(scope.slot, link.word)
    // Safety: the scope protects the node until it ends.
    guard let node = unsafe HazardLink<Node>.Value(rawValue: content).node else { return nil }
    return try unsafe body(node.pointee)
  }
}

extension IsolationError.Code {
  /// The system does not offer the fence, or it would disturb isolated CPUs.
  public static let fenceRefused = Self("fenceRefused")
}

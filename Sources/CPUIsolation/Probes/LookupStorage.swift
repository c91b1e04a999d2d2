// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The caches of all CPUs, the log of what was invalidated, and the work type between them.
///
/// An invalidation takes three steps, in this order: the table, which the caller has changed, the
/// generation of the log (`flush:G`), the send. A CPU takes its own in the drain: the log's
/// generation, the drops, and after them lookups. What a lookup that missed puts in is checked
/// against the generation that it began at, so that a drain in the middle of it leaves nothing old.
///
/// Claim: when the ticket of an invalidation has settled, no lookup of any CPU finds the old value.
/// - *Executed*: the drain dropped it. A fill that began before that drain finds the generation
///   moved; one that began after it asked the table after `flush:L`, and saw the change.
/// - *Covered*: the CPU is outside kernel, where lookups ask the table, and drops the entry before
///   its next one.
/// - *Gone*: a thread that attaches begins with an empty cache, at the log's generation.
@usableFromInline
final class LookupStorage: Sendable {
  let coordinator: Coordinator
  let work: WorkType
  let stride: Int
  private let core: Core
  private let writers = Lock(false)

  /// What the handler gets as its context: it may run for as long as this lives.
  private final class Core: Sendable {
    let ring: FlushRing
    let ceiling: Int
    let base: LookupSets
    let stride: Int
    /// 1 when nothing is invalidated any more.
    let isClosed = SharedWord(0)
    private let log: MappedMemory
    private let caches: MappedMemory

    init(cpus: Int, sets: Int, ceiling: Int) throws(IsolationError) {
      let ranges = 64
      log = try MappedMemory(byteCount: FlushRing.byteCount(ranges: ranges))
      ring = FlushRing(initializing: log.address, ranges: ranges)
      stride = LookupSets.stride(sets: sets)
      caches = try MappedMemory(byteCount: cpus * stride)
      base = LookupSets(base: caches.address)
      self.ceiling = min(ceiling, ranges)
      for cpu in 0..<cpus {
        _ = LookupSets(initializing: caches.address + cpu * stride, sets: sets)
      }
    }

    func sets(of cpu: Int) -> LookupSets { LookupSets(base: base.base + cpu &* stride) }
  }

  init(
    _ coordinator: Coordinator, _ name: String, sets: Int, ceiling: Int
  ) throws(IsolationError) {
    self.coordinator = coordinator
    core = try Core(
      cpus: coordinator.core.slots.count, sets: sets.roundedUpToPowerOfTwo, ceiling: ceiling)
    stride = core.stride
    var options = WorkType.Options()
    options.order = .early
    work = try coordinator.register(name, options: options, keeping: core) { context, cpu in
      // Safety: it is kept for as long as this may run.
      unsafe Unmanaged<Core>.fromOpaque(context.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.sets(of: cpu).catchUp(with: $0.ring, ceiling: $0.ceiling) }
    }
  }

  func sets(of cpu: Int) -> LookupSets { core.sets(of: cpu) }

  /// The caller's own cache, where it may be looked at; nil elsewhere.
  @usableFromInline
  func ownSets() -> LookupSets? {
    guard let slot = coordinator.ownSlot,
      ContextTracker(slot).ownContext == UInt64(CPUContext.kernel.rawValue),
      slot.owner.special.load(ordering: .relaxed) & OwnerFlags.draining == 0,
      !CurrentThread.isHelping, core.isClosed.load(ordering: .relaxed) == 0
    else { return nil }
    let sets = core.sets(of: OwnerTransitions.number(slot))
    if sets.isForeign(to: slot) != 0 {
      // A handler may join in the middle of this: what it caches is dropped here, or was read at a
      // later generation than the one that is noted, which the next drain drops once more.
      let attachment = slot.owner.counterAtAttach.load(ordering: .relaxed)
      sets.join(core.ring, attachment: attachment)
    }
    return sets
  }

  /// Nil: all keys.
  func invalidate(
    _ keys: (some Collection<UInt64>)?, _ file: StaticString, _ line: UInt
  ) -> Ticket {
    writers.withLock { _ in
      // The key of all ones is never cached, and ends no range.
      if let keys, keys.count <= core.ceiling {
        for key in keys where key != .max { core.ring.append(first: key, end: key + 1) }
      } else {
        core.ring.append(first: 0, end: .max)
      }
    }
    return coordinator.sendWithTicket(work, to: coordinator.cpus, file: file, line: line)
  }

  func close(timeout: Duration?) throws(IsolationError) {
    if writers.withLock({ $0 }) { return }
    core.isClosed.store(1, ordering: .relaxed)
    try coordinator.unregister(work, timeout: timeout)
    // A grace period has passed: nobody joins any more who has not seen that it is closed.
    for cpu in coordinator.cpus {
      core.sets(of: cpu).owner.joined.store(.max, ordering: .relaxed)
    }
    writers.withLock { $0 = true }
  }

  /// Has a CPU use its cache again, whose entries are of another attachment. False: it is closed.
  // Static, and with trivial arguments: a method would have the caller keep this value in memory.
  @usableFromInline @inline(never)
  static func rejoin(
    _ storage: Unmanaged<LookupStorage>, _ slot: CPUSlot, _ other: CPUSlot
  ) -> Bool {
    let number = OwnerTransitions.number(slot)
    if other != slot {
      misuse("the lookups of CPU \(number) were used by CPU \(OwnerTransitions.number(other))")
    }
    if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
      let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
      let place = context?.description ?? "no context"
      misuse("CPU \(number) looked up a key in \(place), where its cache may be old")
    }
    // Safety: the caller holds a reference.
    return unsafe storage._withUnsafeGuaranteedRef { $0.ownSets() != nil }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension HazardDomain {
  // MARK: Retiring

  /// Has `reclaim` called with the object's address when no reader protects it any more.
  ///
  ///     domain.retire(node) { address, _ in
  ///       address.assumingMemoryBound(to: Node.self).deinitialize(count: 1)
  ///       address.deallocate()
  ///     }
  ///
  /// The object has been unlinked: whoever looks at the links from now on does not find it. It is
  /// retired once. Its address is even. By `.thread` it is reclaimed within the domain's `maximumAge`,
  /// and at once when the objects that wait hold `maximumBytes`: `byteCount` says what goes with this
  /// one, and has to be 0 or more.
  ///
  /// A reclaimer that retains a class instance, as `takeUnretainedValue` does, may be the last to
  /// let go of it: the instance's `deinit` then runs inside the reclaimer, where `barrier` and
  /// `reclaim` end the process. Let the context be something that does not wait in its `deinit`.
  ///
  /// - Parameters:
  ///   - object: its address, which is even.
  ///   - context: handed on to `reclaim`; it has to live until that has run.
  ///   - cohort: what `barrier` can wait for apart; nil is none.
  ///   - byteCount: how many bytes go with it, 0 or more, for the domain's `maximumBytes`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - reclaim: a C function; it runs once, on a thread that the domain's `reclamation` says.
  /// - Progress: lock-free; by `.retiring` it runs reclaimers now and then, and waits for a pass of
  ///   another thread when too much is unreclaimed
  /// - Context: any thread, also inside a reclaimer; not in a signal handler
  /// - Allocates: a batch for 62 objects now and then
  public func retire(
    _ object: UnsafeMutableRawPointer, context: UnsafeMutableRawPointer? = nil,
    cohort: HazardDomain.Cohort? = nil, byteCount: Int = 0, file: StaticString = #fileID,
    line: UInt = #line, reclaim: HazardDomain.ReclaimFunction
  ) {
    let address = UInt(bitPattern: object)
    if address & 1 != 0 {
      misuse(
        "an object at an odd address cannot be retired: its lowest bit is the mark of links", file,
        line)
    }
    put(
      // Safety: the caller's to see to: the function takes the object and the context.
      unsafe HazardRetired(
        address: address, reclaim: reclaim, context: context, cohort: cohort?.number ?? 0),
      byteCount)
    if byteCount != 0 { bytesWait(byteCount, file, line) }
  }

  /// Gives one reference to a class instance back when no reader protects it any more.
  ///
  ///     domain.retire(instance: Unmanaged.passRetained(table))
  ///
  /// - Parameters:
  ///   - object: a reference that the caller holds, and gives away.
  ///   - cohort: what `barrier` can wait for apart; nil is none.
  ///   - byteCount: how many bytes go with it, 0 or more, for the domain's `maximumBytes`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: as the other form
  /// - Context: any thread, also inside a reclaimer; not in a signal handler
  /// - Allocates: as the other form
  public func retire<Object: AnyObject>(
    instance object: Unmanaged<Object>, cohort: HazardDomain.Cohort? = nil, byteCount: Int = 0,
    file: StaticString = #fileID, line: UInt = #line
  ) {
    // Safety: the caller passes one reference on, which is released once.
    unsafe retire(
      object.toOpaque(), cohort: cohort, byteCount: byteCount, file: file, line: line
    ) { address, _ in
      unsafe Unmanaged<AnyObject>.fromOpaque(address).release()
    }
  }

  private func put(_ object: HazardRetired, _ byteCount: Int) {
    let line = core.ownLine
    HazardFault.point(5)
    let address = line.takeBatch()
    let known = HazardBatch(address: address ?? 0)
    let batch = known ?? scanner.takeEmptyBatch()
    HazardFault.point(6)
    batch.append(object)
    if byteCount != 0 { count(byteCount, in: batch) }
    if HazardThread.number == 0 {
      scanner.retiredElsewhere.wrappingAdd(1, ordering: .relaxed)
    } else {
      line.retired.value.countOne()
    }
    if address != nil, !batch.isFull {
      line.putBatch(batch.address)
      if known == nil { batchBegan() }
      return
    }
    let due = core.scan.due.wrappingAdd(UInt64(batch.count), ordering: .relaxed)
    _ = core.scan.retired.push(batch.node)
    // After the push: who does not find the batch here finds it there.
    if address != nil { line.putBatch(0) }
    if known == nil { batchBegan() }
    scanIfDue(due.newValue)
  }

  /// Has somebody look at what the calling thread retires from now on.
  @inline(never)
  private func batchBegan() {
    // At its end the domain goes on until nothing is left.
    if reclamation != .thread || scanner.isEnding { return }
    if core.scan.alarm.batchBegan(), !HazardThread.isIsolatedCPU {
      HazardReclaimer.shared.ring(self, .batchBegan)
    }
  }

  // MARK: Bytes

  /// Counts what goes with an object, before a pass can find the batch.
  private func count(_ byteCount: Int, in batch: HazardBatch) {
    let bytes = UInt64(max(byteCount, 0))
    batch.byteCount &+= bytes
    core.scan.bytes.wrappingAdd(bytes, ordering: .relaxed)
  }

  /// Sees to it that no more bytes wait than may. The object is where a pass finds it.
  @inline(never)
  private func bytesWait(_ byteCount: Int, _ file: StaticString, _ line: UInt) {
    if byteCount < 0 {
      misuse("an object cannot hold \(byteCount) bytes", file, line)
    }
    guard let maximumBytes, reclamation != .explicit, !HazardThread.isIsolatedCPU,
      !scanner.isEnding
    else { return }
    let limit = UInt64(max(maximumBytes, 1))
    if core.scan.bytes.load(ordering: .relaxed) < limit { return }
    if reclamation == .thread { return HazardReclaimer.shared.ring(self, .manyBytes) }
    if scanner.isOwn { return }
    var backoff = Backoff()
    while scanner.scan(everything: true) == nil {
      // Another thread's pass may have begun before this object was there.
      if core.scan.bytes.load(ordering: .relaxed) < limit { return }
      backoff.wait()
    }
  }

  private func scanIfDue(_ due: UInt64) {
    let threshold = self.threshold
    guard due >= threshold, reclamation != .explicit, !HazardThread.isIsolatedCPU else { return }
    // At its end the domain goes on until nothing is left.
    if scanner.isEnding { return }
    if reclamation == .thread { return HazardReclaimer.shared.ring(self, .manyObjects) }
    retiringPass(threshold)
  }

  private func retiringPass(_ threshold: UInt64) {
    if scanner.isOwn { return }
    var backoff = Backoff()
    while scanner.scan(everything: false) == nil {
      // Somebody is at it. Where that is not enough, whoever retires has to wait.
      if core.scan.due.load(ordering: .relaxed) < 2 * threshold { return }
      backoff.wait()
    }
  }

  /// How many retired objects make a pass worth its look at all slots: a pass that finds every slot
  /// in use still reclaims half of them.
  private var threshold: UInt64 {
    let slots = UInt64(HazardThread.limit * Limits.hazardScopes)
    let holders = core.scan.holders.load(ordering: .relaxed)
    return max(UInt64(4 * Limits.hazardBatch), 2 * (slots + holders))
  }

  // MARK: Reclaiming

  /// Has the library's thread know of the domain, if it is to reclaim.
  func beginReclamation() {
    if reclamation == .thread { HazardReclaimer.shared.watch(self) }
  }

  /// The domain ends.
  func endReclamation() {
    if reclamation == .thread { HazardReclaimer.shared.forget(ObjectIdentifier(self)) }
  }

  /// Reclaims what nobody protects, batches that are not full included; tells how many objects.
  ///
  /// In a domain by transition, what was retired while an isolated CPU was in kernel may take a
  /// second call, when the CPU has left. Another thread's pass is not waited for.
  ///
  /// An isolated CPU that calls it ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: how many objects it reclaimed; 0 also where another thread is at it.
  /// - Progress: lock-free, and the reclaimers
  /// - Context: any thread but isolated CPUs, with no lock that a reclaimer takes; not inside one
  /// - Allocates: batches for what survives, now and then
  @discardableResult
  public func reclaim(file: StaticString = #fileID, line: UInt = #line) -> Int {
    requireMayReclaim("reclaim", file, line)
    return scanner.scan(everything: true) ?? 0
  }

  func requireMayReclaim(_ action: String, _ file: StaticString, _ line: UInt) {
    if HazardThread.isIsolatedCPU {
      misuse("an isolated CPU must not \(action): reclaimers run on other threads", file, line)
    }
    if scanner.isOwn {
      misuse("a reclaimer must not \(action): it would wait for itself", file, line)
    }
  }

  // MARK: Counts

  /// How many objects have been retired, reclaimed, and neither yet.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var counts: HazardDomain.Counts {
    // In this order: what has been reclaimed was retired before.
    let reclaimed = scanner.reclaimed.load(ordering: .relaxed)
    var retired = scanner.retiredElsewhere.load(ordering: .relaxed)
    core.forEachLine { _, line in
      retired &+= line.retired.value.load(ordering: .relaxed)
    }
    return HazardDomain.Counts(retired: retired, reclaimed: reclaimed)
  }

  /// How many objects may be retired and not reclaimed, at most; nil where nobody is made to keep to
  /// it.
  ///
  /// By `.retiring`: an unfinished batch and one more per thread, what is due when a pass begins and
  /// what may become due before the next, and one per protection. In a domain by transition, what is
  /// retired while an isolated CPU stays in one kernel section comes on top; in any domain, what is
  /// retired while a reader is stopped inside `HazardPointer.acquire`, and what isolated CPUs retire,
  /// which others reclaim.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var unreclaimedBound: Int? {
    guard reclamation == .retiring else { return nil }
    let holders = Int(core.scan.holders.load(ordering: .relaxed))
    let protections = HazardThread.limit * Limits.hazardScopes + holders
    return 2 * HazardThread.limit * Limits.hazardBatch + 4 * Int(threshold) + protections
  }
}

extension HazardDomain {
  /// How many objects a domain has seen.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Counts: Hashable, Sendable {
    /// Handed to `retire` so far.
    public let retired: UInt64
    /// Handed to their reclaimers so far.
    public let reclaimed: UInt64
    /// Retired and not reclaimed: exact when nobody retires or reclaims at the time.
    public var pending: UInt64 { retired &- reclaimed }
  }
}

extension HazardDomain {
  /// What reclaims a retired object: a C function, called with the object's address and the context
  /// that was given with it.
  ///
  /// It may retire further objects, and must not wait for the domain. By `.thread` such a chain runs
  /// down by itself.
  public typealias ReclaimFunction =
    @convention(c) (
      UnsafeMutableRawPointer, UnsafeMutableRawPointer?
    ) -> Void
}

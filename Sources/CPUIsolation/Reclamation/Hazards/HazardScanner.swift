// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The part of a domain that one pass at a time uses: what has been retired, on its way to being
/// reclaimed.
///
///     lines' batches ─┬─ full ──► retired ──► fresh ──► awaiting ──► looked at ─┬─► reclaimed
///                     └─ barrier, reclaim() ──┘          transitions            └─► survivors ─┐
///                                                                    ▲─────── the next pass ───┘
///
/// A domain by transition has a stage more: what is fresh gets the CPUs' state words of that moment,
/// and is looked at when each of them has been seen outside kernel or has moved. Nobody waits for
/// that: the next pass looks again.
// Sendable: what is not atomic is touched by the holder of `lock` alone.
final class HazardScanner: @unchecked Sendable {
  let core: HazardCore
  /// The CPUs whose transitions are waited for.
  private let cpus: [(number: Int, slot: CPUSlot)]
  /// Whoever makes a pass: 0, or one above the number of forks above the thread's id.
  let lock = SharedWord(0)
  /// How many objects have been reclaimed; written by the holder of the lock.
  let reclaimed = SharedWord(0)
  /// How many objects threads without a number have retired.
  let retiredElsewhere = SharedWord(0)
  /// How many cohorts there have been.
  let cohorts = SharedWord(0)

  /// How many passes there have been.
  private(set) var passes: UInt64 = 0
  private var fresh = HazardBatches()
  private var awaiting = HazardBatches()
  private var survivors = HazardBatches()
  private var words: [UInt64]
  private var hasPassed: [Bool]
  private var protected = HazardAddresses()
  /// Whether a wildcard older than the scan stood to its end.
  private var metWildcard = false
  /// The lines whose threads were writing their batches when everything was collected last: what these
  /// hold was not found.
  private(set) var writing: Set<Int> = []
  /// Whether the domain ends: nobody may refer to it any more.
  private(set) var isEnding = false

  init(core: HazardCore, slots: CPUSlots?, isolated: CPUMask) {
    self.core = core
    cpus = slots.map { slots in isolated.map { ($0, slots[$0]) } } ?? []
    words = Array(repeating: 0, count: cpus.count)
    hasPassed = Array(repeating: true, count: cpus.count)
  }

  /// After a fork in the middle of a pass: the lists may be half moved. What they hold is leaked in
  /// the child, never reclaimed twice.
  func forgetLists() {
    fresh = HazardBatches()
    awaiting = HazardBatches()
    survivors = HazardBatches()
  }

  // MARK: A pass

  /// Reclaims what nobody protects; returns how much, or nil if another thread is at it.
  ///
  /// `everything` takes the batches that are not full as well.
  @discardableResult
  func scan(everything: Bool) -> Int? {
    withLock { scanLocked(everything: everything) }
  }

  func scanLocked(everything: Bool) -> Int {
    passes &+= 1
    collect(everything: everything)
    var count = 0
    // What a pass finds waiting for transitions keeps what is fresh after it: one more round.
    for _ in 0..<2 {
      guard var candidates = nextCandidates() else { break }
      look()
      HazardFault.point(8)
      count += reclaim(&candidates)
      if fresh.isEmpty || !awaiting.isEmpty { break }
    }
    return count
  }

  private func collect(everything: Bool) {
    var found = HazardBatches()
    if everything {
      writing = []
      // Before what was handed over: a batch goes from here to there.
      core.forEachLine { number, line in
        let (batch, writer) = line.takeBatchForPass()
        if let batch { found.prepend(batch) }
        if let writer, HazardThread.has(writer, number: number) { writing.insert(number) }
      }
    }
    var handedOver = HazardBatches()
    handedOver.take(core.scan.retired.takeAll())
    let pass = passes
    found.forEach { $0.value.pass = pass }
    var due: UInt64 = 0
    handedOver.forEach {
      $0.value.pass = pass
      due += 1
    }
    core.scan.due.wrappingAdd(0 &- due, ordering: .relaxed)
    let bytes = found.byteCount + handedOver.byteCount
    if bytes != 0 { core.scan.bytes.wrappingAdd(0 &- bytes, ordering: .relaxed) }
    fresh.take(&found)
    fresh.take(&handedOver)
  }

  /// What may be compared with the slots now; nil if that is nothing.
  private func nextCandidates() -> HazardBatches? {
    var candidates = HazardBatches()
    if cpus.isEmpty {
      if fresh.isEmpty && survivors.isEmpty { return nil }
      if core.reader.fencing == HazardFencing.membarrier {
        let error = cpi_membarrier_private()
        if error != 0 { misuse("the system takes its membarrier back: errno \(error)") }
      }
      // Sequentially consistent fence — hazard:F. What was unlinked before it was retired is
      // unlinked before the slots are looked at. Dekker with hazard:P and hazard:V. Pairs with
      // hazard:P and hazard:V.
      fullFence()
      HazardFault.point(7)
      candidates.take(&fresh)
      candidates.take(&survivors)
      return candidates
    }
    if awaiting.isEmpty, !fresh.isEmpty {
      awaiting.take(&fresh)
      takeWords()
    }
    if haveAllPassed() { candidates.take(&awaiting) }
    // Survivors have been after a fence already, and nobody can begin to protect them any more:
    // they wait for no CPU.
    candidates.take(&survivors)
    return candidates.isEmpty ? nil : candidates
  }

  // MARK: Transitions

  /// What the CPUs' state words say after the unlinking.
  private func takeWords() {
    // Sequentially consistent fence — hazard:F, as above; here also before the looks at W: an
    // entry that they do not see comes after it. Pairs with hazard:P, hazard:V and entry:W.
    fullFence()
    HazardFault.point(7)
    for index in cpus.indices {
      words[index] = Self.word(of: cpus[index].slot)
      hasPassed[index] = !Self.isKernel(words[index])
    }
  }

  private func haveAllPassed() -> Bool {
    var all = true
    for index in cpus.indices where !hasPassed[index] {
      hasPassed[index] = Self.word(of: cpus[index].slot) != words[index]
      if !hasPassed[index] { all = false }
    }
    return all
  }

  private static func word(of slot: CPUSlot) -> UInt64 {
    // Acquire — hazard:W. What a section stored to slots is seen after its end. Pairs with entry:W
    // and exit:W.
    slot.state.word.load(ordering: .acquiring)
  }

  private static func isKernel(_ word: UInt64) -> Bool {
    ContextWord(rawValue: word).context == .kernel
  }

  /// The CPUs that have not passed.
  var stragglers: [Int] {
    awaiting.isEmpty ? [] : cpus.indices.filter { !hasPassed[$0] }.map { cpus[$0].number }
  }

  // MARK: The slots

  /// Notes every address that a slot holds.
  private func look() {
    protected.removeAll()
    metWildcard = false
    // Acquire and release — hazard:G. After the fence: a wildcard of this date or a later one was
    // put up by a reader for whom what was unlinked is unlinked. Pairs with hazard:D.
    let date = core.scans.value.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue
    core.forEachLine { number, line in
      if cpi_thread_is_lost(UInt32(number)) { return }
      for index in 0..<Limits.hazardScopes { note(line.words.place(index), date) }
    }
    core.forEachHolderLine { line in
      for index in 1...Limits.hazardHolderSlots { note(line.place(index), date) }
      return true
    }
  }

  private func note(_ slot: Place<SharedAddress>, _ date: UInt64) {
    var patience = 0
    var backoff = Backoff()
    while true {
      // Acquire — hazard:S. If the slot has moved on, the last use of what it held comes before.
      // Pairs with hazard:P, hazard:T, hazard:M, hazard:A and hazard:R.
      let content = slot.value.load(ordering: .acquiring)
      if content & 1 == 0 {
        if content > HazardLine.blocked { protected.insert(content) }
        return
      }
      if UInt64(content >> 1) >= date { return }
      if patience == Self.patience {
        metWildcard = true
        return
      }
      patience += 1
      backoff.wait()
    }
  }

  /// How often a scan looks again at a wildcard, which lasts a few nanoseconds unless its thread was
  /// preempted. Then the pass reclaims nothing, and the next one looks again.
  private static let patience = 10

  /// Reclaims what no slot was seen to hold; the rest survives.
  private func reclaim(_ candidates: inout HazardBatches) -> Int {
    var count = 0
    var kept: HazardBatch? = nil
    while let batch = candidates.popFirst() {
      for index in 0..<batch.count {
        let object = batch.objects[index]
        if metWildcard || protected.contains(object.address) {
          let target = kept ?? takeEmptyBatch()
          target.append(object)
          kept = target
          if target.isFull {
            survivors.prepend(target)
            kept = nil
          }
        } else {
          // Safety: nobody protects the object; the function came with it and its context.
          let address = unsafe UnsafeMutableRawPointer(bitPattern: object.address)
          unsafe object.reclaim(address.unsafelyUnwrapped, object.context)
          reclaimed.countOne()
          count += 1
        }
      }
      putAside(batch)
    }
    if let kept { survivors.prepend(kept) }
    return count
  }

  // MARK: Looking, for reports

  /// The objects up to that pass, of that cohort or of all, that have not been reclaimed. The caller
  /// holds the lock.
  func remaining(upTo pass: UInt64, cohort: UInt64?) -> [UInt] {
    var addresses: [UInt] = []
    for batches in [fresh, awaiting, survivors] {
      batches.forEach { object in
        if object.value.pass <= pass,
          cohort == nil || object.value.cohort == cohort
        {
          addresses.append(object.value.address)
        }
      }
    }
    return addresses
  }

  /// Whether another pass has something to do without anybody retiring more. The caller holds the
  /// lock, and has made a pass that takes everything.
  var isUnfinished: Bool {
    !fresh.isEmpty || !awaiting.isEmpty || !survivors.isEmpty || !writing.isEmpty
  }

  // MARK: The end

  /// Reclaims everything: nobody can protect anything any more.
  func finish() {
    isEnding = true
    while true {
      collect(everything: true)
      var all = HazardBatches()
      all.take(&fresh)
      all.take(&awaiting)
      all.take(&survivors)
      if all.isEmpty { break }
      protected.removeAll()
      metWildcard = false
      _ = reclaim(&all)
    }
    var spare = HazardBatches()
    spare.take(core.scan.spare.takeAll())
    while let batch = spare.popFirst() { batch.free() }
  }
}

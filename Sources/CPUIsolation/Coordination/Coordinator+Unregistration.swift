// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension CoordinatorCore {
  /// From here on drains drop the type's bits. What still runs is over after a grace period.
  func stopRunning(_ type: UInt64) {
    // Sequentially consistent — unregister:V. Pairs with drain:V: a drain that still saw the type
    // live began before the grace period that follows.
    line.live.bitwiseAnd(~(1 << type), ordering: .sequentiallyConsistent)
  }
}

extension Coordinator {
  /// Unregisters a work type: when it returns, its handler does not run and never will again.
  ///
  ///     let withdrawn = try coordinator.unregister(refresh, timeout: .seconds(1))
  ///
  /// Sends are rejected at once. What is pending on CPUs in kernel runs at their next safe point;
  /// what is pending on CPUs outside is withdrawn, counted as gone, and returned; of a catch-up
  /// type, the CPUs that lag. Then a grace period waits out running handlers. The bit stays retired
  /// until the call has succeeded; after a timeout the call can be repeated.
  ///
  /// - Parameters:
  ///   - work: a type of this coordinator.
  ///   - timeout: how long to wait at most for CPUs in kernel; nil waits for ever, and zero looks
  ///     once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the CPUs from which pending work was withdrawn.
  /// - Throws: `timedOut`, naming the CPUs that are still in kernel; `workTypeUnregistered`;
  ///   `closed`, if the coordinator is, and a CPU is still in kernel; `forked`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  @discardableResult
  public func unregister(
    _ work: WorkType, timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> CPUMask {
    if registry.withLock({ $0.ownedWork.contains(work) }) {
      misuse(
        "\(work) belongs to a part of the library that uses it: close that instead", file, line)
    }
    let (outcome, withdrawn) = try endRegistration(work, Deadline(after: timeout), file, line)
    try outcome.get("unregister \(work)")
    return withdrawn
  }

  /// Unregisters a work type, whoever it belongs to; tells how the wait for CPUs ended, and what was
  /// withdrawn.
  package func endRegistration(
    _ work: WorkType, timeout: Duration?, file: StaticString, line: UInt
  ) throws(IsolationError) -> WaitOutcome {
    try endRegistration(work, Deadline(after: timeout), file, line).outcome
  }

  func endRegistration(
    _ work: WorkType, _ until: Deadline, _ file: StaticString, _ line: UInt
  ) throws(IsolationError) -> (outcome: WaitOutcome, withdrawn: CPUMask) {
    requireMayWait("unregister a work type", file, line)
    if isForked { return (.forked, CPUMask()) }
    switch try claimUnregistration(of: work, until) {
    case .settled?: return (.settled, CPUMask())
    case let outcome?: return (outcome, CPUMask())
    case nil: break
    }
    let end = unregisterClaimed(work, until, file, line)
    if end.outcome != .settled {
      registry.withLock { $0.registrations[Int(work.type)]?.isUnregistering = false }
    }
    return end
  }

  /// Ends the sends of a work type, for one caller at a time: two that took each other's steps
  /// could meet the next registration of the bit. Nil: it is the caller's to go on. `.settled`:
  /// another call has ended it meanwhile.
  private func claimUnregistration(of work: WorkType, _ until: Deadline)
    throws(IsolationError) -> WaitOutcome?
  {
    var backoff = Backoff()
    var hasWaited = false
    while true {
      let isClaimed: Bool? = registry.withLock { state in
        guard let known = state.registrations[Int(work.type)], known.number == work.registration
        else { return nil }
        if known.isUnregistering { return false }
        state.registrations[Int(work.type)]?.isUnregistering = true
        core.records[work.type].registration.store(0, ordering: .relaxed)
        return true
      }
      switch isClaimed {
      case true?: return nil
      case nil where hasWaited: return .settled
      case nil: throw IsolationError(.workTypeUnregistered, "\(work) is not registered here")
      case false?:
        hasWaited = true
        if until.hasPassed { return .timedOut(CPUMask()) }
        CurrentThread.serveOwnCPU()
        backoff.wait()
      }
    }
  }

  private func unregisterClaimed(
    _ work: WorkType, _ until: Deadline, _ file: StaticString, _ line: UInt
  ) -> (outcome: WaitOutcome, withdrawn: CPUMask) {
    let index = Int(work.type)
    let before = registry.withLock { state in
      if let known = state.registrations[index]?.lostBefore { return known }
      let now = cpus.map { lost(index, on: $0) }
      state.registrations[index]?.lostBefore = now
      return now
    }
    withdraw(work.type) { $0.acceptsDeferral || $0 == .offline }
    // The caller's own CPU is not waited for: this is its safe point.
    if let own = ownSlot, ContextTracker(own).ownContext == UInt64(CPUContext.kernel.rawValue) {
      OwnerTransitions.safePoint(own)
    }
    // CPUs in kernel run the bit at a safe point; the wait for that is the wait for the grace
    // period below, whose end they reach only through one.
    let first = waitForGracePeriod(until, "unregister \(work)", file, line)
    guard first == .settled else { return (first, CPUMask()) }
    core.stopRunning(work.type)
    let second = waitForGracePeriod(until, "unregister \(work)", file, line)
    guard second == .settled else { return (second, CPUMask()) }
    var lagging = CPUMask()
    let box = registry.withLock { state -> (any Sendable)? in
      withdraw(work.type) { _ in true }
      lagging = settleTickets(work.type)
      defer {
        state.registrations[index] = nil
        state.retired.append(index)
      }
      return state.registrations[index]?.box
    }
    withExtendedLifetime(box) {}
    // Also what a drain met that saw the type live no more.
    let withdrawn = CPUMask(
      before.compactMap {
        let now = lost(index, on: $0.cpu)
        return now.owner == $0.owner && now.count > $0.count ? $0.cpu : nil
      })
    // A catch-up type leaves no bit with a CPU in user: what is withdrawn there is what it lags.
    return (.settled, work.form == .catchUp ? withdrawn.union(lagging) : withdrawn)
  }

  /// What a CPU's thread has lost of a type; what a send left where nobody was is nobody's to hear
  /// of.
  private func lost(_ type: Int, on cpu: Int) -> LostWork {
    let slot = core.slots[cpu]
    guard slot.state.isOwned.load(ordering: .relaxed) != 0 else {
      return LostWork(cpu: cpu, count: .max, owner: 0)
    }
    return LostWork(
      cpu: cpu, count: slot.dropped[type].load(ordering: .relaxed),
      owner: slot.state.incarnation.load(ordering: .relaxed))
  }

  /// Settles, as gone, the tickets whose work was taken back. The grace period is over, and the
  /// caller holds the lock under which threads attach: nobody else writes these words. Returns the
  /// CPUs whose threads had not applied the last generation.
  private func settleTickets(_ type: UInt64) -> CPUMask {
    var behind = CPUMask()
    let index = Int(type)
    let generation = core.generations[type].load(ordering: .relaxed)
    for cpu in cpus {
      let slot = core.slots[cpu]
      if slot.applied[index].load(ordering: .relaxed) >= generation { continue }
      if slot.state.isOwned.load(ordering: .relaxed) != 0 { behind.insert(cpu) }
      slot.attachGeneration[index].store(generation, ordering: .relaxed)
      // Release — attach:A, as for a CPU that attaches. Pairs with ticket:A.
      slot.applied[index].store(generation, ordering: .releasing)
    }
    return behind
  }

  /// Takes a bit back from the CPUs whose context qualifies.
  private func withdraw(_ type: UInt64, where qualifies: (CPUContext) -> Bool) {
    for cpu in cpus where qualifies(context(of: cpu)) {
      let slot = core.slots[cpu]
      // Acquire and release — withdraw:T. A take: whoever clears the bit accounts for it.
      let old = slot.state.work.bitwiseAnd(
        ~(1 << type), ordering: .acquiringAndReleasing
      )
      .oldValue
      if old >> type & 1 == 0 { continue }
      slot.dropped[Int(type)].wrappingAdd(1, ordering: .relaxed)
    }
  }
}

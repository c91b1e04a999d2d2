// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Numbers registrations: unique in the process, so that a handle of another coordinator is
/// recognised.
private let lastRegistration = SharedWord(0)

extension CoordinatorCore {
  /// From here on drains drop the type's bits. What still runs is over after a grace period.
  func stopRunning(_ type: UInt64) {
    // Sequentially consistent — unregister:V. Pairs with drain:V: a drain that still saw the type
    // live began before the grace period that follows.
    unsafe line.pointee.live.bitwiseAnd(~(1 << type), ordering: .sequentiallyConsistent)
  }
}

extension Coordinator {
  /// Registers a type of deferrable work, run by a closure.
  ///
  ///     let refresh = try coordinator.register("refresh") { cpu in caches[cpu].removeAll() }
  ///
  /// The handler must not block, wait, or throw, and has to tolerate a run that nobody sent (a late
  /// bit for a slot that changed hands). Whoever calls it from a hot path and counts nanoseconds
  /// takes the C function form: a closure costs about 6 ns more per run, for two reference counts.
  ///
  /// - Throws: `tooManyWorkTypes` beyond `DeferredWork.capacity`; `unreachableMaximumAge` for a
  ///   type with a maximum age that nothing could enforce; `watchdogRequired` for a maximum age
  ///   without watchdog; `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: DeferredWork.Options = .init(),
    _ handler: @escaping @Sendable (Int) -> Void
  ) throws(CoordinatorError) -> DeferredWork {
    let box = HandlerBox(handler)
    return try unsafe register(
      name, options: options, box: box, Unmanaged.passUnretained(box).toOpaque()
    ) {
      unsafe Unmanaged<HandlerBox>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue().run($1)
    }
  }

  /// Registers a type of deferrable work, run by a C function with a context: no allocation and no
  /// reference count per run.
  ///
  ///     let work = try coordinator.register("count", context: counters) { counters, cpu in
  ///       counters!.assumingMemoryBound(to: Int.self)[cpu] += 1
  ///     }
  ///
  /// The context has to live until the type has been unregistered or the coordinator ends.
  ///
  /// - Throws: as the closure form.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: DeferredWork.Options = .init(), context: UnsafeMutableRawPointer?,
    function: DeferredWorkFunction
  ) throws(CoordinatorError) -> DeferredWork {
    try unsafe register(name, options: options, box: nil, context, function)
  }

  private func register(
    _ name: String, options: DeferredWork.Options, box: HandlerBox?,
    _ context: UnsafeMutableRawPointer?, _ function: DeferredWorkFunction
  ) throws(CoordinatorError) -> DeferredWork {
    try checkMaximumAge(name, options)
    let registration = lastRegistration.wrappingAdd(1, ordering: .relaxed).newValue
    nonisolated(unsafe) let context = unsafe context  // handed on, never dereferenced here
    return try cold.withLock { state throws(CoordinatorError) in
      if state.isClosed { throw CoordinatorError(.closed, "the coordinator is closed") }
      let index: Int
      if state.freshTypes < DeferredWork.capacity {
        index = state.freshTypes
        state.freshTypes += 1
      } else if !state.retired.isEmpty {
        index = state.retired.removeFirst()
      } else {
        throw CoordinatorError(
          .tooManyWorkTypes,
          "\(name) would be work type \(DeferredWork.capacity + 1) of \(DeferredWork.capacity)")
      }
      state.trace.name(registration, name)
      state.registrations[index] = Registration(
        name: name, options: options, box: box, number: registration)
      let type = UInt64(index)
      let line = unsafe core.line
      let record = unsafe core.record(type)
      unsafe record.pointee.function = unsafe function
      unsafe record.pointee.context = unsafe context
      unsafe Self.assign(line.pointee.early, type, options.order == .early)
      unsafe Self.assign(line.pointee.late, type, options.order == .late)
      unsafe Self.assign(line.pointee.interruptSafe, type, options.isInterruptSafe)
      unsafe Self.assign(line.pointee.onBehalf, type, options.mayRunOnBehalf)
      // Release — register:V. The record before the bit that lets handlers run. Pairs with drain:V.
      unsafe line.pointee.live.bitwiseOr(1 << type, ordering: .acquiringAndReleasing)
      // Release — register:R. Everything before the first send.
      unsafe record.pointee.registration.store(registration, ordering: .releasing)
      return DeferredWork(
        type: type, registration: registration, mergesWithoutWriting: options.expectsManySenders)
    }
  }

  private static func assign(_ set: borrowing SharedWord, _ type: UInt64, _ isMember: Bool) {
    // Acquire and release — register:S. Before the live bit, under the lock. Pairs with drain:I.
    if isMember {
      set.bitwiseOr(1 << type, ordering: .acquiringAndReleasing)
    } else {
      // Acquire and release — register:S, as above.
      set.bitwiseAnd(~(1 << type), ordering: .acquiringAndReleasing)
    }
  }

  private func checkMaximumAge(_ name: String, _ options: DeferredWork.Options)
    throws(CoordinatorError)
  {
    guard let age = options.maximumAge else { return }
    if age <= .zero {
      throw CoordinatorError(
        .unreachableMaximumAge, "the maximum age of \(name) has to be positive")
    }
    if configuration.watchdog == nil {
      throw CoordinatorError(.watchdogRequired, "the maximum age of \(name) needs the watchdog")
    }
    let canBeKicked =
      configuration.isolated.isEmpty || configuration.isolatedInterrupter == .poll
      || (configuration.isolatedInterrupter == .signal && options.isInterruptSafe)
    if !canBeKicked && !options.mayRunOnBehalf {
      throw CoordinatorError(
        .unreachableMaximumAge,
        "\(name) has a maximum age, but may neither run in an interrupt nor on behalf of a CPU")
    }
  }

  /// Unregisters a work type: when it returns, its handler does not run and never will again.
  ///
  ///     let withdrawn = try coordinator.unregister(refresh, deadline: .seconds(1))
  ///
  /// Sends are rejected at once. What is pending on CPUs in kernel runs at their next safe point;
  /// what is pending on CPUs outside is withdrawn, counted as gone, and returned. Then a grace
  /// period waits out running handlers. The bit stays retired until the call has succeeded; after a
  /// timeout the call can be repeated.
  ///
  /// - Throws: `timedOut`, naming the CPUs that are still in kernel; `workTypeUnregistered`;
  ///   `forked`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  @discardableResult
  public func unregister(_ work: DeferredWork, deadline: Duration? = nil) throws(CoordinatorError)
    -> CPUMask
  {
    requireMayWait("unregister a work type")
    try requireSameProcess()
    let until = Deadline(after: deadline)
    guard try claimUnregistration(of: work, until) else { return CPUMask() }
    do {
      return try unregisterClaimed(work, until)
    } catch {
      cold.withLock { $0.registrations[Int(work.type)]?.isUnregistering = false }
      throw error
    }
  }

  /// Ends the sends of a work type, for one caller at a time: two that took each other's steps
  /// could meet the next registration of the bit. False: another call has ended it meanwhile.
  private func claimUnregistration(of work: DeferredWork, _ until: Deadline)
    throws(CoordinatorError) -> Bool
  {
    var backoff = Backoff()
    var hasWaited = false
    while true {
      let isClaimed: Bool? = cold.withLock { state in
        guard let known = state.registrations[Int(work.type)], known.number == work.registration
        else { return nil }
        if known.isUnregistering { return false }
        state.registrations[Int(work.type)]?.isUnregistering = true
        unsafe core.record(work.type).pointee.registration.store(0, ordering: .relaxed)
        return true
      }
      switch isClaimed {
      case true?: return true
      case nil where hasWaited: return false
      case nil: throw CoordinatorError(.workTypeUnregistered, "\(work) is not registered here")
      case false?:
        hasWaited = true
        if until.hasPassed {
          throw CoordinatorError(
            .timedOut, errno: 110, "cannot unregister \(work): another thread has not come through")
        }
        Self.serveOwnCPU()
        backoff.wait()
      }
    }
  }

  private func unregisterClaimed(_ work: DeferredWork, _ until: Deadline) throws(CoordinatorError)
    -> CPUMask
  {
    let index = Int(work.type)
    let before = cpus.map { (cpu: $0, dropped: dropped(index, on: $0)) }
    withdraw(work.type) { $0.acceptsDeferral || $0 == .offline }
    // CPUs in kernel run the bit at a safe point; the wait for that is the wait for the grace
    // period below, whose end they reach only through one.
    try waitForGracePeriod(until, "unregister \(work)")
    core.stopRunning(work.type)
    try waitForGracePeriod(until, "unregister \(work)")
    let box = cold.withLock { state -> HandlerBox? in
      withdraw(work.type) { _ in true }
      settleTickets(work.type)
      defer {
        state.registrations[index] = nil
        state.retired.append(index)
      }
      return state.registrations[index]?.box
    }
    withExtendedLifetime(box) {}
    // Also what a drain met that saw the type live no more.
    return CPUMask(
      before.compactMap {
        let now = dropped(index, on: $0.cpu)
        return now.owner == $0.dropped.owner && now.count > $0.dropped.count ? $0.cpu : nil
      })
  }

  /// How many bits of a type a CPU's thread has lost, and which thread that is; what a send left
  /// where nobody was is nobody's to hear of.
  private func dropped(_ type: Int, on cpu: Int) -> (count: UInt64, owner: UInt64) {
    let slot = core.slots[cpu]
    let state = unsafe slot.state
    guard unsafe state.pointee.isOwned.load(ordering: .relaxed) != 0 else { return (.max, 0) }
    return unsafe (
      slot.dropped[type].load(ordering: .relaxed),
      state.pointee.incarnation.load(ordering: .relaxed)
    )
  }

  /// Settles, as gone, the tickets whose work was taken back. The grace period is over, and the
  /// caller holds the lock under which threads attach: nobody else writes these words.
  private func settleTickets(_ type: UInt64) {
    let index = Int(type)
    let generation = unsafe core.generation(type).pointee.load(ordering: .relaxed)
    for cpu in cpus {
      let slot = core.slots[cpu]
      if unsafe slot.applied[index].load(ordering: .relaxed) >= generation { continue }
      unsafe slot.attachGeneration[index].store(generation, ordering: .relaxed)
      // Release — attach:A, as for a CPU that attaches. Pairs with ticket:A.
      unsafe slot.applied[index].store(generation, ordering: .releasing)
    }
  }

  /// Takes a bit back from the CPUs whose context qualifies.
  private func withdraw(_ type: UInt64, where qualifies: (CPUContext) -> Bool) {
    for cpu in cpus where qualifies(context(of: cpu)) {
      let slot = core.slots[cpu]
      // Acquire and release — withdraw:T. A take: whoever clears the bit accounts for it.
      let old = unsafe slot.state.pointee.work.bitwiseAnd(
        ~(1 << type), ordering: .acquiringAndReleasing
      )
      .oldValue
      if old >> type & 1 == 0 { continue }
      unsafe slot.dropped[Int(type)].wrappingAdd(1, ordering: .relaxed)
    }
  }
}

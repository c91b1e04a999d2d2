// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension HazardDomain {
  /// The objects of one data structure in a domain that others use too: what `barrier` may be asked
  /// about when the structure is closed.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Cohort: Hashable, Sendable {
    let number: UInt64
  }
}

extension HazardDomain {
  /// What holds retired objects back.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Obstacle: Hashable, Sendable, CustomStringConvertible {
    /// Who it is.
    public enum Kind: Hashable, Sendable {
      /// A scope of the thread with this id; 0 if that thread has ended inside its scope.
      case scope(thread: Int32)
      /// A ``HazardPointer``, which may be acquiring just now.
      case holder
      /// An isolated CPU that has not left kernel.
      case cpu(Int)
    }

    /// Who it is.
    public let kind: Kind
    /// The object that is protected; 0 where it is not one.
    public let address: UInt

    public var description: String {
      let object = "the object at 0x" + String(address, radix: 16)
      return switch kind {
      case .scope(0): "a thread that has ended protects \(object)"
      case .scope(let thread): "thread \(thread) protects \(object)"
      case .holder where address == 0: "a holder is acquiring"
      case .holder: "a holder protects \(object)"
      case .cpu(let cpu): "CPU \(cpu) has not left kernel"
      }
    }
  }
}

extension HazardDomain {
  /// A cohort of its own, for a structure that retires into a domain which others use too.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func makeCohort() -> HazardDomain.Cohort {
    HazardDomain.Cohort(number: scanner.cohorts.wrappingAdd(1, ordering: .relaxed).newValue)
  }

  /// Waits until everything that was retired before has been reclaimed; with a cohort, everything of
  /// that cohort.
  ///
  ///     if domain.barrier(cohort: table.cohort, timeout: .seconds(1)) == .settled {
  ///       table.close()
  ///     } else {
  ///       log(domain.obstacles(to: table.cohort))  // thread 4711 protects the object at 0x…
  ///     }
  ///
  /// What the kernel's `rcu_barrier` is before a module goes: when it answers `.settled`, no
  /// reclaimer of those objects is still to run or running. `.timedOut` names the isolated CPUs that
  /// have not left kernel; `obstacles` names readers as well. `.closed` names them when the coordinator is
  /// closed, and they may never leave. A caller that protects such an object
  /// itself waits for itself; one that is a housekeeping CPU of the domain's coordinator serves its own
  /// work meanwhile.
  ///
  /// - Parameters:
  ///   - cohort: the objects to wait for; nil is all of the domain's.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when they have been reclaimed; else why not, and the isolated CPUs that
  ///   held it up.
  /// - Progress: blocking
  /// - Context: any thread but isolated CPUs, with no lock that a reclaimer takes; not inside one
  /// - Allocates: as `reclaim`, and the report
  public func barrier(
    cohort: HazardDomain.Cohort? = nil, timeout: Duration? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    requireMayReclaim("wait for a barrier", file, line)
    home?.requireMayWait("wait for a barrier", file, line)
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    var search = HazardScanner.Search()
    while true {
      let isOver = until.hasPassed
      let isClosed = home?.isClosed == true
      let end = scanner.withLock { () -> WaitOutcome? in
        guard let left = scanner.advance(&search, cohort: cohort?.number) else { return nil }
        if left.isEmpty { return .settled }
        // What nobody protects any more goes in the next round.
        let cpus = CPUMask(scanner.stragglers)
        if isClosed, !isOver, !cpus.isEmpty { return .closed(cpus) }
        guard isOver, !scanner.obstacles(to: left).isEmpty else { return nil }
        return .timedOut(cpus)
      }
      if let end = end ?? nil { return end }
      // Another thread reclaims, or is in the middle of a retirement: no CPU holds that up.
      if isOver, end == nil || !search.isOver { return .timedOut(CPUMask()) }
      home?.serveWhileWaiting()
      backoff.wait()
    }
  }

  /// What holds back the objects that have been retired so far, one entry for each reader and object,
  /// and one for each CPU; with a cohort, the objects of that.
  ///
  ///     for obstacle in domain.obstacles() { log(obstacle) }  // thread 4711 protects the object at 0x…
  ///
  /// Nothing where another thread is reclaiming, or everything has been reclaimed. It reclaims what
  /// can be.
  ///
  /// - Parameters:
  ///   - cohort: the objects to ask about; nil is all of the domain's.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the obstacles, in no order; empty if there are none that can be told.
  /// - Progress: lock-free, and the reclaimers
  /// - Context: as `barrier`
  /// - Allocates: as `reclaim`, and the list
  public func obstacles(
    to cohort: HazardDomain.Cohort? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> [HazardDomain.Obstacle] {
    requireMayReclaim("look for obstacles", file, line)
    return scanner.withLock { () -> [HazardDomain.Obstacle] in
      _ = scanner.scanLocked(everything: true)
      let left = scanner.remaining(upTo: scanner.passes, cohort: cohort?.number)
      return left.isEmpty ? [] : scanner.obstacles(to: left)
    } ?? []
  }
}

extension HazardScanner {
  /// How far a barrier has come in finding what was retired before.
  struct Search {
    /// The lines that were being written whenever this barrier looked.
    fileprivate var writing: Set<Int>? = nil
    /// The pass by which everything was found.
    fileprivate var pass: UInt64? = nil

    var isOver: Bool { pass != nil }
  }

  /// One round of a barrier: the objects that are left, nil where not all have been found. The caller
  /// holds the lock.
  func advance(_ search: inout Search, cohort: UInt64?) -> [UInt]? {
    _ = scanLocked(everything: true)
    if search.pass == nil {
      // A thread that retires has its whole batch in its hands meanwhile, and what it retired before
      // is in there. Once each line has been seen without that, what was retired before our first
      // look has been found, by this pass or by an earlier one.
      let left = search.writing?.intersection(writing) ?? writing
      search.writing = left
      guard left.isEmpty else { return nil }
      search.pass = passes
    }
    return search.pass.map { remaining(upTo: $0, cohort: cohort) }
  }
}

extension HazardScanner {
  /// Who holds these objects back now. The caller holds the lock.
  func obstacles(to addresses: [UInt]) -> [HazardDomain.Obstacle] {
    let wanted = Set(addresses)
    var found = stragglers.map { HazardDomain.Obstacle(kind: .cpu($0), address: 0) }
    func look(_ slot: Place<SharedAddress>, _ kind: HazardDomain.Obstacle.Kind) {
      let content = slot.value.load(ordering: .relaxed)
      if content & 1 != 0 {
        found.append(HazardDomain.Obstacle(kind: .holder, address: 0))
      } else if wanted.contains(content) {
        found.append(HazardDomain.Obstacle(kind: kind, address: content))
      }
    }
    core.forEachLine { number, line in
      if cpi_thread_is_lost(UInt32(number)) { return }
      let kind = HazardDomain.Obstacle.Kind.scope(thread: cpi_numbered_thread(UInt32(number)))
      for index in 0..<Limits.hazardScopes { look(line.words.place(index), kind) }
    }
    core.forEachHolderLine { line in
      for index in 1...Limits.hazardHolderSlots { look(line.place(index), .holder) }
      return true
    }
    return found
  }
}

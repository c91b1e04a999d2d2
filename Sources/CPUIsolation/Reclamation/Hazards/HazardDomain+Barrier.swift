// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The objects of one data structure in a domain that others use too: what `barrier` may be asked
/// about when the structure is closed.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public struct HazardCohort: Hashable, Sendable {
  let number: UInt64
}

/// How a barrier ended.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum HazardBarrier: Hashable, Sendable {
  /// Everything has been reclaimed.
  case reclaimed
  /// The deadline came first: what holds objects back, one entry for each of them.
  case held([HazardObstacle])
}

/// What holds retired objects back.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public struct HazardObstacle: Hashable, Sendable, CustomStringConvertible {
  /// Who it is.
  public enum Kind: Hashable, Sendable {
    /// A scope of the thread with this id; 0 if that thread has ended inside its scope.
    case scope(thread: Int32)
    /// A `HazardPointer`.
    case holder
    /// A reader that `acquire` keeps in between.
    case wildcard
    /// An isolated CPU that has not left kernel.
    case cpu(Int)
    /// Another thread's pass, or its step of a retirement, which has not ended.
    case pass
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
    case .holder: "a holder protects \(object)"
    case .wildcard: "a reader is acquiring"
    case .cpu(let cpu): "CPU \(cpu) has not left kernel"
    case .pass: "another thread is reclaiming or retiring"
    }
  }
}

extension HazardDomain {
  /// A cohort of its own, for a structure that retires into a domain which others use too.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func makeCohort() -> HazardCohort {
    HazardCohort(number: scanner.cohorts.wrappingAdd(1, ordering: .relaxed).newValue)
  }

  /// Waits until everything that was retired before has been reclaimed, or tells what holds it
  /// back; with a cohort, everything of that cohort.
  ///
  ///     switch domain.barrier(cohort: table.cohort, timeout: .seconds(1)) {
  ///     case .reclaimed: table.close()
  ///     case .held(let obstacles): log(obstacles)  // thread 4711 protects the object at 0x…
  ///     }
  ///
  /// What the kernel's `rcu_barrier` is before a module goes: when it answers `.reclaimed`, no
  /// reclaimer of those objects is still to run or running. A caller that protects such an object
  /// itself waits for itself.
  ///
  /// - Progress: blocking
  /// - Context: any thread but isolated CPUs, with no lock that a reclaimer takes; not inside one
  /// - Allocates: as `reclaim`, and the report
  public func barrier(
    cohort: HazardCohort? = nil, timeout: Duration? = nil
  ) -> HazardBarrier {
    requireMayReclaim("wait for a barrier")
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    var search = HazardScanner.Search()
    while true {
      let isOver = until.hasPassed
      let obstacles = scanner.withLock { () -> [HazardObstacle]? in
        guard let left = scanner.advance(&search, cohort: cohort?.number) else { return [] }
        if left.isEmpty { return nil }
        return isOver ? scanner.obstacles(to: left) : []
      }
      if case .some(nil) = obstacles { return .reclaimed }
      if isOver {
        let isSearching = obstacles == nil || !search.isOver
        let found = isSearching ? [HazardObstacle(kind: .pass, address: 0)] : obstacles! ?? []
        if !found.isEmpty { return .held(found) }
      }
      backoff.wait()
    }
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
  func obstacles(to addresses: [UInt]) -> [HazardObstacle] {
    let wanted = Set(addresses)
    var found = stragglers.map { HazardObstacle(kind: .cpu($0), address: 0) }
    func look(_ slot: Place<SharedAddress>, _ kind: HazardObstacle.Kind) {
      let content = slot.value.load(ordering: .relaxed)
      if content & 1 != 0 {
        found.append(HazardObstacle(kind: .wildcard, address: 0))
      } else if wanted.contains(content) {
        found.append(HazardObstacle(kind: kind, address: content))
      }
    }
    core.forEachLine { number, line in
      if cpi_thread_is_lost(UInt32(number)) { return }
      let kind = HazardObstacle.Kind.scope(thread: cpi_numbered_thread(UInt32(number)))
      for index in 0..<Limits.hazardScopes { look(line.words.place(index), kind) }
    }
    core.forEachHolderLine { line in
      for index in 1...Limits.hazardHolderSlots { look(line.place(index), .holder) }
      return true
    }
    return found
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension ProbeRegistry {
  // MARK: Turning on and off

  /// Has probes run again, or not for now. Those that have been removed are left alone.
  ///
  ///     registry.setEnabled(probes, false)  // thousands at once, and nobody is disturbed
  ///
  /// When it returns, hits that begin find it so; a handler that was running may be running still.
  /// Scopes that have begun end as if nothing had happened.
  ///
  /// - Parameters:
  ///   - probes: the probes; an empty list does nothing.
  ///   - isEnabled: whether they run from now on.
  /// - Progress: blocking, for as long as another thread changes probes
  /// - Context: any thread, outside handlers and signal handlers
  /// - Allocates: a list for each point
  public func setEnabled(_ probes: [Probe], _ isEnabled: Bool) {
    requireOutside("turn probes on or off")
    // What cannot follow any more stays as it is.
    try? follow(turn(probes, isEnabled))
  }

  /// The same without the followers of the points, which it returns.
  func turn(_ probes: [Probe], _ isEnabled: Bool) -> [Int] {
    state.withLock { state in
      var points: [Int] = []
      for probe in probes where probe.isEnabled != isEnabled {
        guard state.points[probe.index].probes.contains(where: { $0 === probe }) else { continue }
        probe.isEnabled = isEnabled
        points.append(probe.index)
      }
      let lists = relist(points, &state)
      discard(lists, [], &state)
      return points
    }
  }

  /// Publishes the lists of points anew, and returns the old ones.
  private func relist(_ points: [Int], _ state: inout State) -> [ProbeList] {
    var old: [ProbeList] = []
    for index in points {
      let list = ProbeList.make(
        state.points[index].probes.filter(\.isEnabled).map { $0.record })
      publish(list, at: state.points[index].site)
      if let list = state.points[index].list { old.append(list) }
      state.points[index].list = list
    }
    return old
  }

  // MARK: Removing

  /// How a removal ended.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum RemoveOutcome: Hashable, Sendable {
    /// No thread is inside a handler of the probes, or can still find them.
    case removed
    /// The time was over first: the probes are found no more, but a handler may be running. A later
    /// removal frees what they held.
    case timedOut
  }

  /// Takes probes off their points, in one batch, and waits until no thread can be inside their
  /// handlers or still find them.
  ///
  ///     registry.remove(probes)
  ///
  /// No CPU is disturbed, and one that hits nothing is not waited for. Probes that have been removed
  /// already are passed over. Scopes that have begun end later, and run nothing. What the probes
  /// have counted can still be read.
  ///
  /// - Parameters:
  ///   - probes: the probes to take away.
  ///   - timeout: how long it waits; nil is for ever.
  /// - Returns: `.removed`, or `.timedOut` if a handler may still be running.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers of probes and signal handlers
  /// - Allocates: a list for each point
  @discardableResult
  public func remove(_ probes: [Probe], timeout: Duration? = nil) -> RemoveOutcome {
    requireOutside("remove probes")
    let until = Deadline(after: timeout)
    let (ticket, changed): (UInt64?, Set<Int>) = state.withLock { state in
      var points: Set<Int> = []
      var removed: [Probe] = []
      for probe in probes {
        guard let place = state.points[probe.index].probes.firstIndex(where: { $0 === probe })
        else { continue }
        state.points[probe.index].probes.remove(at: place)
        points.insert(probe.index)
        removed.append(probe)
        // Relaxed: before the fence of the wait, as the lists.
        core.shape.value.records[probe.number].store(0, ordering: .relaxed)
      }
      if removed.isEmpty { return (nil, []) }
      return (discard(relist(points.sorted(), &state), removed, &state), points)
    }
    try? follow(changed.sorted())
    guard let ticket else { return .removed }
    var backoff = Backoff()
    while true {
      let isOver = state.withLock { state in
        collect(&state)
        return !state.garbage.contains { $0.number == ticket }
      }
      if isOver { return .removed }
      if until.hasPassed { return .timedOut }
      CurrentThread.serveOwnCPU()
      backoff.wait()
    }
  }

  /// Keeps what was taken out until no section can be looking at it.
  @discardableResult
  private func discard(
    _ lists: [ProbeList], _ probes: [Probe], _ state: inout State
  ) -> UInt64 {
    state.nextRegistration += 1
    let sections = core.shape.value.sections
    state.garbage.append(
      Garbage(
        number: state.nextRegistration, wait: ProbeSections.Wait(sections), lists: lists,
        probes: probes))
    let number = state.nextRegistration
    collect(&state)
    return number
  }

  /// Frees what no section can be looking at.
  private func collect(_ state: inout State) {
    for index in state.garbage.indices.reversed() where state.garbage[index].wait.poll() {
      let garbage = state.garbage.remove(at: index)
      for list in garbage.lists { list.deallocate() }
      for probe in garbage.probes {
        probe.freeze()
        state.freeNumbers.append(probe.number)
      }
    }
  }

  func requireOutside(_ action: String) {
    if core.shape.value.sections.isInside {
      misuse("a probe's function must not \(action)")
    }
  }

  // MARK: The end

  /// Takes every probe off, for good: nothing can be attached any more, and hits are counted
  /// (`lateHits`).
  ///
  /// - Parameter timeout: how long to wait at most; nil waits for ever, and zero looks once.
  /// - Returns: `.removed`, or `.timedOut` if a handler may still be running; then it can be
  ///   repeated.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers of probes and signal handlers
  /// - Allocates: yes
  @discardableResult
  public func close(timeout: Duration? = nil) -> RemoveOutcome {
    let all = state.withLock { state in
      state.isClosed = true
      return state.points.flatMap(\.probes)
    }
    let outcome = remove(all, timeout: timeout)
    state.withLock { state in
      if state.end != nil { return }
      let end = ProbeList.makeEmpty()
      state.end = end
      for point in state.points { publish(end, at: point.site) }
    }
    return outcome
  }

  // MARK: Watching

  /// The probes whose function has been running on some thread for as long as `limit`: it is stuck, or
  /// blocks where it must not.
  ///
  ///     for (probe, thread) in registry.stuck(for: .milliseconds(10)) { log(probe, thread) }
  ///
  /// The calling thread sleeps for that long between two looks; hits pay nothing for it.
  ///
  /// - Parameter limit: how long a function has to have been running. The call takes as long,
  ///   unless every function that was running ends before.
  /// - Returns: each probe with the system's number of the thread that runs it.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and signal handlers
  /// - Allocates: the list
  public func stuck(for limit: Duration) -> [(probe: Probe, thread: Int32)] {
    var wait = ProbeSections.Wait(core.shape.value.sections)
    let until = Deadline(after: limit)
    while !wait.poll(), !until.hasPassed {
      cpi_sleep_nanoseconds(min(until.remaining, 1_000_000))
    }
    let probes = self.probes
    return wait.pending.compactMap { line, _ in
      let running = line.running.value.load(ordering: .relaxed)
      let thread = line.thread.value.load(ordering: .relaxed)
      return probes.first { UInt64($0.number) + 1 == running }
        .map { ($0, Int32(truncatingIfNeeded: thread)) }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

extension GracePeriodCallbacks {
  /// Runs what is ready, and begins the grace period of what is not; tells how many ran.
  ///
  /// For programs that have a loop of their own to call it from. On an isolated CPU it ends the
  /// process with a sentence. A callback may retire others.
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: how many callbacks ran; 0 also where another thread runs them.
  /// - Progress: blocking, as the callbacks
  /// - Context: any thread that is no isolated CPU, outside handlers and kernel sections
  /// - Allocates: one word per CPU that is in kernel, and as the callbacks
  @discardableResult
  public func runReady(file: StaticString = #fileID, line: UInt = #line) -> Int {
    if let cpu = coordinator.currentCPU, coordinator.isolated.contains(cpu) {
      misuse("CPU \(cpu) is isolated, and cannot run grace period callbacks", file, line)
    }
    coordinator.requireMayWait("run grace period callbacks", file, line)
    let isFirst = state.withLock { state in
      // A runner whose thread has ended inside a callback will not come back.
      if state.runner != 0, CurrentThread.isAlive(state.runner) { return false }
      state.runner = CurrentThread.knownID
      return true
    }
    guard isFirst else { return 0 }
    var ran = 0
    while let range = advance() {
      for number in range {
        let index = Int(number % UInt64(capacity))
        let callback = state.withLock { state in
          defer { state.ring[index] = nil }
          return state.ring[index]
        }
        callback?.run()
        // One by one, so that a callback may retire the next where it was.
        state.withLock { $0.completed = number + 1 }
        ran += 1
      }
    }
    state.withLock { $0.runner = 0 }
    return ran
  }

  /// The callbacks whose grace period is over, having begun the next one; nil if none is.
  private func advance() -> Range<UInt64>? {
    let gracePeriod = state.withLock { state in
      defer { state.gracePeriod = nil }
      return state.gracePeriod
    }
    if var gracePeriod {
      guard gracePeriod.poll() else {
        state.withLock { $0.gracePeriod = gracePeriod }
        return nil
      }
      return state.withLock { $0.completed..<$0.covered }
    }
    // What was retired before the grace period begins is what it covers.
    let end = state.withLock { $0.retired == $0.completed ? nil : $0.retired }
    guard let end else { return nil }
    var next = coordinator.startGracePeriod()
    let isOver = next.poll()
    return state.withLock { state in
      state.covered = end
      if isOver { return state.completed..<end }
      state.gracePeriod = next
      return nil
    }
  }

  /// Waits until every callback that was retired before has run.
  ///
  ///     frees.barrier(timeout: .seconds(1))
  ///
  /// Else the answer names the CPUs in kernel. A caller that is no isolated CPU runs what is ready
  /// itself.
  /// Inside a callback it would wait for itself; that ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when they have run; else why not, and the CPUs in kernel.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers, kernel sections and callbacks
  /// - Allocates: as `runReady`
  @discardableResult
  public func barrier(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    coordinator.requireMayWait("wait for grace period callbacks", file, line)
    let (end, runner) = state.withLock { ($0.retired, $0.runner) }
    requireOutsideCallbacks(runner, file, line)
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    while state.withLock({ $0.completed }) < end {
      if coordinator.isForked { return .forked }
      let holders = coordinator.othersInKernel
      if until.hasPassed { return .timedOut(holders) }
      // Of a closed coordinator the CPUs that are in kernel may never leave; others hold nothing up.
      if coordinator.isClosed, !holders.isEmpty { return .closed(holders) }
      step(file, line)
      backoff.wait()
    }
    return .settled
  }

  func requireOutsideCallbacks(_ runner: Int32, _ file: StaticString, _ line: UInt) {
    if runner == CurrentThread.knownID {
      misuse(
        "a grace period callback waited for grace period callbacks: it would wait for itself", file,
        line)
    }
  }

  /// One step of a waiting loop.
  func step(_ file: StaticString, _ line: UInt) {
    CurrentThread.serveOwnCPU()
    if let cpu = coordinator.currentCPU {
      if coordinator.isolated.contains(cpu) {
        if coordinator.context(of: cpu) == .kernel {
          misuse(
            "CPU \(cpu) waited for grace period callbacks in kernel: it would wait for itself",
            file,
            line)
        }
        return bell.parker.unpark()
      }
      // A housekeeper holds nothing while it waits: it would hold up its own callbacks.
      if let slot = coordinator.ownSlot, coordinator.context(of: cpu) == .kernel {
        OwnerTransitions.quiescent(slot)
      }
    }
    runReady(file: file, line: line)
  }

  /// Takes no more callbacks, and waits until those that there are have run.
  ///
  /// What has not run when the time is over runs on the service's thread later; where there is none,
  /// `runReady` runs it. What nobody runs before the last reference has gone never runs.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when none is left; else why not, and the CPUs in kernel.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers, kernel sections and callbacks
  /// - Allocates: as `runReady`
  @discardableResult
  public func close(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    state.withLock { $0.isClosed = true }
    defer { bell.parker.unpark() }
    return barrier(timeout: timeout, file: file, line: line)
  }
}

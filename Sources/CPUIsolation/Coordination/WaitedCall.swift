// SPDX-License-Identifier: Apache-2.0

/// A waiting call that is under way: what it has asked of which CPU, and what has become of that.
struct WaitedCall {
  private(set) var report = Report<CallOutcome>()

  private let coordinator: Coordinator
  private let queue: CallPath
  private let handler: CPUHandler
  private let until: Deadline
  private let isInterruptSafe: Bool
  private let site: CallSite
  /// The records; nil once they have been given back.
  private var memory: CallMemory?
  /// The caller's own CPU, if it is addressed.
  private var inline: Int? = nil
  private let own: Int?
  /// The CPUs whose record is still in their queue, from a call that was given up.
  private var unposted = CPUMask()
  /// The CPUs that have the call.
  private var waiting = CPUMask()

  init(
    _ coordinator: Coordinator, _ memory: CallMemory, _ handler: CPUHandler, _ until: Deadline,
    isInterruptSafe: Bool, from site: CallSite
  ) {
    self.coordinator = coordinator
    self.memory = memory
    self.handler = handler
    self.until = until
    self.isInterruptSafe = isInterruptSafe
    self.site = site
    queue = CallPath(coordinator.core, coordinator.path)
    own = coordinator.currentCPU
  }

  /// Addresses one more CPU, or says that it is left out.
  mutating func address(_ cpu: Int, isSkipped: Bool) {
    if isSkipped {
      report.record(.skipped, for: cpu)
    } else if cpu == own {
      inline = cpu
    } else {
      unposted.insert(cpu)
    }
  }

  /// Makes the call, and waits until it is over on every CPU.
  ///
  /// The other CPUs have the address of the caller's closure: if the calling thread ends meanwhile, in
  /// the function or in what it serves, the call is taken back first.
  mutating func run() {
    // Safety: the call is there for both functions, in the caller's frame.
    unsafe withUnsafeMutablePointer(to: &self) { call in
      unsafe CurrentThread.guarding(
        call,
        { unsafe $0.unsafelyUnwrapped.assumingMemoryBound(to: WaitedCall.self).pointee.finish() },
        ifThreadEnds: {
          unsafe $0.unsafelyUnwrapped.assumingMemoryBound(to: WaitedCall.self).pointee.takeBack()
        })
    }
  }

  private mutating func finish() {
    post()
    // As in the kernel, the caller's own turn comes while the others work.
    if let inline {
      runInline(inline)
      report.record(.ranInline, for: inline)
    }
    var backoff = Backoff()
    while true {
      look(isOver: until.hasPassed || coordinator.isClosed)
      if waiting.isEmpty && unposted.isEmpty { break }
      CurrentThread.serveOwnCPU()
      backoff.wait()
      post()
    }
    giveBack()
  }

  /// Ends the call for a thread that will not come back to it.
  private mutating func takeBack() {
    var backoff = Backoff()
    while true {
      look(isOver: true)
      if waiting.isEmpty { break }
      backoff.wait()
    }
    giveBack()
  }

  private mutating func post() {
    guard let memory else { return }
    for cpu in unposted {
      let record = memory.record(cpu)
      guard CallRecord.claim(record, handler, isWaitedFor: true, site: site) else { continue }
      unposted.remove(cpu)
      waiting.insert(cpu)
      _ = queue.enqueue(record, on: cpu, isInterruptSafe: isInterruptSafe, from: site)
    }
  }

  private mutating func look(isOver: Bool) {
    guard let memory else { return }
    for cpu in waiting {
      guard let outcome = CallPath.outcome(of: memory.record(cpu), isOver: isOver) else { continue }
      waiting.remove(cpu)
      report.record(outcome, for: cpu)
    }
    if isOver {
      for cpu in unposted { report.record(.timedOut, for: cpu) }
      unposted = CPUMask()
    }
  }

  private mutating func giveBack() {
    if let memory { coordinator.giveBack(memory) }
    memory = nil
  }

  /// A call of a CPU to itself. Nothing runs while the word says user.
  private func runInline(_ cpu: Int) {
    let slot = coordinator.core.slots[cpu]
    let outside = OwnerTransitions.beginSection(slot)
    handler.run(on: cpu)
    OwnerTransitions.endSection(slot, outside)
  }
}

// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
internal import CTextPatching

/// One site's part of a patch.
struct Poke: Sendable {
  let index: Int
  let code: [UInt8]
  let changesTail: Bool
  /// Where the site's instruction leads, for a thread that meets the breakpoint.
  let resume: UInt64
}

/// A patch on its way.
struct PatchBatch: Sendable {
  /// In the order of addresses.
  var pokes: [Poke]
  /// The phases that are still to come, or to be acknowledged.
  var phases = NativeCode.phases[...]
}

/// A point in time, or never.
struct PatchDeadline {
  private let instant: ContinuousClock.Instant?

  init(_ duration: Duration?) {
    instant = duration.map { .now + .nanoseconds(Int64($0.wholeNanoseconds)) }
  }

  var remaining: Duration? { instant.map { max(.zero, $0 - .now) } }
  var hasPassed: Bool { instant.map { $0 <= .now } ?? false }
}

extension TextPatcher {
  /// Makes a site do something else.
  ///
  ///     try patcher.patch(route, to: .jump(to: leastLoaded))
  ///
  /// When it returns, every call that begins from then on has the new behaviour, on every CPU. A
  /// call that began before may still be running the old function: whoever unloads that waits for a
  /// grace period. Meanwhile a call has the old or the new behaviour, nothing else.
  ///
  /// - Parameters:
  ///   - site: a site of this patcher.
  ///   - instruction: what it does from then on; what it does already changes nothing.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what was changed, and how often CPUs were brought up to date for it.
  /// - Throws: `timedOut`, naming the CPUs in kernel that reached no safe point. The site has the
  ///   new behaviour then all the same, by way of its breakpoint, which the next patch removes.
  ///   If it says that another thread is patching, or that an earlier patch cannot be finished,
  ///   nothing was changed.
  ///   `signalTaken` if another handler of SIGTRAP was installed: nothing is changed. `closed`,
  ///   `forked`.
  /// - Progress: blocking, while CPUs that call sites are in kernel
  /// - Context: any thread, outside handlers; also inside a function that a site runs
  /// - Allocates: yes
  @discardableResult
  public func patch(
    _ site: PatchSite, to instruction: PatchSite.Instruction, timeout: Duration? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> PatchReport {
    try patch([(site, instruction)], timeout: timeout, file: file, line: line)
  }

  /// Makes several sites do something else, for the price of one: the rounds are made once.
  ///
  ///     try patcher.patch([(route, .nop), (filter, .call(countThem))])
  ///
  /// Sites change one after the other, in the order of their addresses: a CPU may see one
  /// changed and another not yet.
  ///
  /// - Parameters:
  ///   - changes: what each site does from then on; one that is there twice ends the process.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what was changed, and how often CPUs were brought up to date for it.
  /// - Throws: as for one site.
  /// - Progress: blocking, while CPUs that call sites are in kernel
  /// - Context: any thread, outside handlers; also inside a function that a site runs
  /// - Allocates: yes
  @discardableResult
  public func patch(
    _ changes: [(PatchSite, PatchSite.Instruction)], timeout: Duration? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> PatchReport {
    let changes = ordered(changes, file, line)
    let until = PatchDeadline(timeout)
    try takeTurn("patch text", until, file, line)
    defer { giveTurn() }
    guard ctp_catches_traps() else {
      throw IsolationError(
        .signalTaken,
        "cannot patch text: another handler of SIGTRAP was installed over the library's")
    }
    try finishEarlierPatch(until)
    var report = PatchReport()
    var batch = prepare(changes, &report)
    if batch.pokes.isEmpty { return report }
    let traps = memory.traps
    for poke in batch.pokes {
      coordinator.traceTextPoke(
        at: memory.address(poke.index, memory.layout.siteOffset), bytes: poke.code.count,
        file: file,
        line: line)
    }
    try run(&batch, "patch text", until, &report)
    report.traps = Int(memory.traps - traps)
    return report
  }

  /// Checks what was asked for, and brings it into the order of addresses.
  private func ordered(
    _ changes: [(PatchSite, PatchSite.Instruction)], _ file: StaticString, _ line: UInt
  ) -> [(PatchSite, PatchSite.Instruction)] {
    for (site, _) in changes where site.memory !== memory {
      misuse("site \(site.name) belongs to another text patcher", file, line)
    }
    let changes = changes.sorted { $0.0.index < $1.0.index }
    for (first, second) in zip(changes, changes.dropFirst()) where first.0 === second.0 {
      misuse("site \(first.0.name) is twice in one patch", file, line)
    }
    return changes
  }

  // MARK: The turn

  /// Waits until no other thread patches. A caller that is a CPU serves its own work meanwhile: the
  /// one who patches may be waiting for it.
  func takeTurn(
    _ action: String, _ until: PatchDeadline, _ file: StaticString, _ line: UInt
  ) throws(IsolationError) {
    var backoff = Backoff()
    while true {
      try coordinator.requireMayBegin(action, file: file, line: line)
      let (isClosed, isMine) = state.withLock { state in
        let isMine = !state.isTaken && !state.isClosed
        if isMine { state.isTaken = true }
        return (state.isClosed, isMine)
      }
      if isMine { return }
      if isClosed { throw IsolationError(.closed, "cannot \(action): the patcher is closed") }
      if until.hasPassed {
        throw IsolationError(
          .timedOut, errno: 110, "cannot \(action): another thread is patching")
      }
      Coordinator.serveWhileWaiting()
      backoff.wait()
    }
  }

  func giveTurn() { state.withLock { $0.isTaken = false } }

  /// Finishes a patch whose time is over: its sites have breakpoints.
  func finishEarlierPatch(_ until: PatchDeadline) throws(IsolationError) {
    guard var batch = state.withLock({ $0.unfinished }) else { return }
    var report = PatchReport()
    try run(&batch, "finish an earlier patch", until, &report)
  }

  // MARK: The protocol

  /// Makes up the instructions, and puts their targets where they will be found.
  ///
  /// The arm that is written to is not the one that the site uses now. It was used before that, and
  /// the patch which ended that was acknowledged by every CPU: none is on its way through it. One
  /// that is inside the function after it returns through code that does not change.
  private func prepare(
    _ changes: [(PatchSite, PatchSite.Instruction)], _ report: inout PatchReport
  ) -> PatchBatch {
    var batch = PatchBatch(pokes: [])
    state.withLock { state in
      for (site, instruction) in changes {
        let old = state.sites[site.index]
        if instruction.isSame(as: old.instruction) {
          report.unchanged += 1
          continue
        }
        let arm = 1 - old.arm
        let (code, resume) = makeUp(instruction, site.index, arm: arm)
        state.sites[site.index].instruction = instruction
        state.sites[site.index].code = code
        state.sites[site.index].arm = arm
        batch.pokes.append(
          Poke(
            index: site.index, code: code, changesTail: code.dropFirst() != old.code.dropFirst(),
            resume: resume))
        report.sites += 1
      }
    }
    return batch
  }

  /// The instruction's bytes, and where it leads.
  private func makeUp(
    _ instruction: PatchSite.Instruction, _ index: Int, arm: Int
  ) -> (code: [UInt8], resume: UInt64) {
    let offset = memory.layout.siteOffset
    let site = memory.address(index, offset)
    memory.setTarget(index, arm: arm, instruction.target)
    let base = SlotLayout.arms[arm]
    switch instruction {
    case .nop:
      return (NativeCode.nop, memory.address(index, offset + NativeCode.siteLength))
    case .jump:
      if let code = NativeCode.jump(to: instruction.target, at: site) {
        return (code, instruction.target)
      }
      let veneer = memory.address(index, base + SlotLayout.veneer)
      return (NativeCode.jump(to: veneer, at: site)!, veneer)
    case .call:
      let adaptor = memory.address(index, base + SlotLayout.adaptor)
      return (
        NativeCode.call(adaptor, at: site)!, memory.address(index, base + SlotLayout.copy)
      )
    }
  }

  /// Brings a batch through the phases that are left. The argument, phase by phase, for a CPU that
  /// calls a site:
  ///
  /// - *Breakpoint.* Until the CPU has synchronized it may execute the old instruction whole, since
  ///   no byte after the first has changed; or it meets the breakpoint, and goes on where the new
  ///   instruction leads.
  /// - *Tail.* Written when every CPU has synchronized since the breakpoint was there: whoever
  ///   executes the site fetches the breakpoint first, and nobody executes the bytes after it.
  /// - *First byte.* Written when every CPU has synchronized since the tail was there: a CPU that
  ///   fetches the new first byte fetches the new tail with it. One that fetched the breakpoint
  ///   traps, and goes on where the new instruction leads.
  /// - *End.* Every CPU has synchronized since: none meets the breakpoint any more. And none is
  ///   inside the trap handler for it, since it would be in kernel and have passed no safe point.
  ///   So the word that the handler reads is free for the next patch: no table has to be kept alive
  ///   for it.
  ///
  /// "Every CPU has synchronized" is, CPU by CPU, one of three:
  /// - It is in kernel, at the look after the send: waited for until its handler has run, at a
  ///   safe point, an exit or an entry. No site is being executed there: its five bytes are one
  ///   instruction, and what it leads to is code that does not change.
  /// - It is outside kernel: it executes no site there, a call checks that. It may have fetched one
  ///   ahead. Its next entry takes the bit and synchronizes before it runs anything else
  ///   (`send:O` against `entry:K`; the type drains early).
  /// - It is gone, or was never admitted. Whoever attaches asks to be admitted before its first
  ///   call, and synchronizes (`text:A` against `text:F`).
  private func run(
    _ batch: inout PatchBatch, _ action: String, _ until: PatchDeadline,
    _ report: inout PatchReport
  ) throws(IsolationError) {
    if batch.phases.first == NativeCode.phases.first {
      for poke in batch.pokes { memory.setResume(poke.index, poke.resume) }
      memory.orderWords()
    }
    while let phase = batch.phases.first {
      let pokes = phase == .tail ? batch.pokes.filter(\.changesTail) : batch.pokes
      for poke in pokes { memory.write(poke.index, phase, poke.code) }
      if !pokes.isEmpty {
        do throws(IsolationError) {
          try synchronizeCores(action, until, &report)
        } catch {
          // The phase is written and not acknowledged: the next patch writes it again.
          let rest = batch
          state.withLock { $0.unfinished = rest }
          throw error
        }
      }
      batch.phases.removeFirst()
    }
    state.withLock { $0.unfinished = nil }
  }

  /// One round: returns when every CPU that may execute sites has synchronized, or will before it
  /// does.
  func synchronizeCores(
    _ action: String, _ until: PatchDeadline, _ report: inout PatchReport
  ) throws(IsolationError) {
    report.rounds += 1
    let mask = memory.admitted()
    if mask.isEmpty { return }
    let ticket = coordinator.sendWithTicket(work, to: mask, urgency: urgency)
    if ticket.report.refusal != nil {
      throw IsolationError(.closed, "cannot \(action): the coordinator is closed")
    }
    if case .timedOut(let cpus) = ticket.wait(until: .covered, timeout: until.remaining) {
      if coordinator.isClosed {
        throw IsolationError(.closed, "cannot \(action): the coordinator is closed")
      }
      throw IsolationError(
        .timedOut, errno: 110, "cannot \(action): CPUs \(cpus) reached no safe point in time")
    }
    for cpu in ticket.report.covered {
      switch ticket.state(of: cpu) {
      case .executed: report.executed += 1
      case .covered, .pending: report.deferred += 1
      case .gone: break
      }
    }
  }
}

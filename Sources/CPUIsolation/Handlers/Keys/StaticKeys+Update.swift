// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension StaticKeys {
  /// Makes several changes with one send, and waits until every CPU is reached.
  ///
  ///     try keys.update { changes in
  ///       changes.disable(oldPath)
  ///       changes.enable(newPath)
  ///     }
  ///
  /// They reach a CPU in one drain, but not in one instant: a CPU that drains for another reason at
  /// that very moment may have some of them a drain earlier than the others.
  ///
  /// Taking more users from a key than it has ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - goal: what is waited for: `.covered`, that no CPU finds anything old after its next entry;
  ///     or `.executed`, that each has caught up, which may never come for a CPU that stays in
  ///     user. Keys that are never deferred wait for the latter always.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: says what changes.
  /// - Returns: which keys were turned, and which calls exchanged.
  /// - Throws: `closed`, `forked`, before anything is changed; `closed` after the change, where the
  ///   coordinator is closed meanwhile and lets waiters go: CPUs may not have been reached.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and user; in kernel it is a safe point
  /// - Allocates: yes
  @discardableResult
  public func update(
    until goal: Ticket.Goal = .covered, file: StaticString = #fileID, line: UInt = #line,
    _ body: (inout Changes) -> Void
  ) throws(IsolationError) -> Report {
    var changes = Changes()
    body(&changes)
    let site = CallSite(file, line)
    try requireMayChange(site)
    for key in takeDelayed(before: now) { changes.disable(key) }
    return try apply(changes, until: goal, site)
  }

  /// Exchanges the function of a call, and waits until every CPU is reached.
  ///
  ///     try keys.update(route, to: newTable, newFunction)
  ///
  /// See ``StaticCall`` for when the old context may be freed.
  ///
  /// - Parameters:
  ///   - call: a call of these keys; one of another coordinator ends the process with a sentence.
  ///   - context: handed on to the function.
  ///   - function: what is called from then on; nil is nothing, and the call returns 0.
  ///   - goal: what is waited for, as in `update(until:_:)`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.exchanged`, or `.unchanged` if function and context were the same already.
  /// - Throws: as `update(until:_:)`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and user; in kernel it is a safe point
  /// - Allocates: yes
  @discardableResult
  public func update(
    _ call: StaticCall, to context: UnsafeMutableRawPointer?, _ function: StaticCall.Function?,
    until goal: Ticket.Goal = .covered, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> StaticCall.Outcome {
    let report = try update(until: goal, file: file, line: line) {
      unsafe $0.exchange(call, to: context, function)
    }
    return report.exchanged.contains(call) ? .exchanged : .unchanged
  }

  /// Adds a user to a key; the first one turns it on.
  ///
  /// When it returns, the key is on, for the first user and for every later one: whoever comes while
  /// the first one waits for CPUs waits with it.
  ///
  /// - Parameters:
  ///   - key: a key of these keys; one of another coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.flipped` for the first user, `.counted` for a later one, `.overflowed` where
  ///   there is room for no more: then nothing was changed.
  /// - Throws: as `update(until:_:)`.
  /// - Progress: lock-free where the key has users already; else blocking
  /// - Context: any thread, outside handlers and user; in kernel it is a safe point
  /// - Allocates: where the key is turned
  @discardableResult
  public func enable(
    _ key: StaticKey, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> StaticKey.Outcome {
    if let outcome = side(of: key, CallSite(file, line)).table.incrementIfOn(key.index, by: 1) {
      return outcome
    }
    return try update(file: file, line: line) { $0.enable(key) }.outcome(of: key)
  }

  /// Takes a user from a key; the last one turns it off.
  ///
  /// When it has turned the key off, no CPU finds it on after its next entry. A CPU may still be in
  /// code that it entered because the key was on: wait for a grace period before what that code uses
  /// is freed.
  ///
  /// A key without users, or whose only user is still enabling it, ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - key: a key of these keys; one of another coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.flipped` where that was the last user, else `.counted`.
  /// - Throws: as `update(until:_:)`.
  /// - Progress: lock-free where the key has other users; else blocking
  /// - Context: any thread, outside handlers and user; in kernel it is a safe point
  /// - Allocates: where the key is turned
  @discardableResult
  public func disable(
    _ key: StaticKey, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> StaticKey.Outcome {
    let site = CallSite(file, line)
    switch side(of: key, site).table.decrement(key.index, by: 1, isClaimer: false) {
    case .counted: return .counted
    case .last: return try update(file: file, line: line) { $0.disable(key) }.outcome(of: key)
    case .tooFew: tooFew(key, site)
    case .enabling: stillEnabling(key, site)
    }
  }

  // MARK: -

  func apply(
    _ changes: Changes, until goal: Ticket.Goal, _ site: CallSite
  ) throws(IsolationError) -> Report {
    var turns = changes.keys.map {
      KeyTable.Turn(table: side(of: $0.key, site).table, key: Int($0.key.index), users: $0.users)
    }
    var exchanges = changes.calls.map {
      KeyTable.Exchange(index: index(of: $0.call, site), words: $0.words)
    }
    var report = Report()
    deferred.table.change(&turns, &exchanges) { turns, exchanges in
      for (change, turn) in zip(changes.keys, turns) where change.users != 0 {
        switch turn.result {
        case .flipped: report.flipped.insert(change.key)
        case .counted: report.counted.insert(change.key)
        case .overflowed: report.overflowed.insert(change.key)
        case .tooFew: tooFew(change.key, site)
        case .enabling: stillEnabling(change.key, site)
        }
      }
      for (change, exchange) in zip(changes.calls, exchanges) where exchange.isNew {
        report.exchanged.insert(change.call)
      }
      if report.flipped.contains(where: { !$0.isNeverDeferred }) || !report.exchanged.isEmpty {
        self.reach(deferred, until: goal)
      }
      if report.flipped.contains(where: \.isNeverDeferred) {
        self.reach(immediate, until: .executed)
      }
    }
    if coordinator.isClosed, !report.flipped.isEmpty || !report.exchanged.isEmpty {
      throw IsolationError(
        .closed, "the coordinator was closed while a static key changed: CPUs may have the old one")
    }
    return report
  }

  private func index(of call: StaticCall, _ site: CallSite) -> Int {
    let index = Int(call.index)
    if call.distance != deferred.table.distance(to: index, from: coordinator.core.slots)
      || call.core != coordinator.core
    {
      misuse("a static call was used that belongs to other keys", site.file, site.line)
    }
    return index
  }

  /// Sends to every CPU, and waits until none can find anything old.
  private func reach(_ side: PatchSide, until goal: Ticket.Goal) {
    let ticket = coordinator.forLibrary.sendWithTicket(
      side.work, to: coordinator.cpus, urgency: side.interrupts ? .immediate : .deferrable)
    // It ends early where the coordinator is closed, and threads leave: `apply` says so.
    _ = ticket.wait(until: goal)
  }

  func requireMayChange(_ site: CallSite) throws(IsolationError) {
    coordinator.requireMayWait("change a static key", site.file, site.line)
    if let slot = coordinator.ownSlot {
      let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
      if context != .kernel {
        let name = context?.description ?? "no context"
        misuse(
          "CPU \(OwnerTransitions.number(slot)) cannot change a static key: it is in \(name)",
          site.file, site.line)
      }
    }
    try coordinator.requireSameProcess()
    if coordinator.isClosed {
      throw IsolationError(.closed, "cannot change a static key: the coordinator is closed")
    }
  }

  func tooFew(_ key: StaticKey, _ site: CallSite) -> Never {
    misuse(
      "the static key \(name(of: key)) was disabled more often than it was enabled", site.file,
      site.line)
  }

  func stillEnabling(_ key: StaticKey, _ site: CallSite) -> Never {
    misuse(
      "the static key \(name(of: key)) was disabled while its first user was still enabling it",
      site.file, site.line)
  }
}

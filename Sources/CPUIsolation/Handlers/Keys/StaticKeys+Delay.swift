// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension StaticKeys {
  /// Takes a user from a key, but turns it off no sooner than `delay` from now: for what is turned
  /// on and off all the time, so that CPUs hear of the last time alone.
  ///
  ///     try keys.disable(sampling, after: .seconds(1))
  ///
  /// Where the key has other users, it counts at once, and those of them who leave later stay for as
  /// long. The rest is done by the next change of any key once the time has come, or by
  /// `applyDelayed()`: nobody is woken for it.
  ///
  /// - Parameters:
  ///   - key: a key of these keys; one of another coordinator ends the process with a sentence.
  ///   - delay: how long it stays on at least; zero or less is until the next change or
  ///     `applyDelayed()`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: `closed`, `forked`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and user
  /// - Allocates: one entry
  public func disable(
    _ key: StaticKey, after delay: Duration, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    let site = CallSite(file, line)
    try requireMayChange(site)
    let due = now &+ delay.wholeNanoseconds
    // Before this one counts: those who leave later must not turn the key off sooner than it may.
    state.withLock { state in
      for index in state.delayed.indices where state.delayed[index].key == key {
        state.delayed[index].due = max(state.delayed[index].due, due)
      }
    }
    switch side(of: key, site).table.decrement(key.index, by: 1, isClaimer: false) {
    case .counted: return
    case .last: break
    case .tooFew: tooFew(key, site)
    case .enabling: stillEnabling(key, site)
    }
    let users = count(of: key)
    let isKnown = state.withLock { state in
      // A user can leave but once.
      if state.delayed.count(where: { $0.key == key }) >= users { return false }
      state.delayed.append(Delayed(key: key, due: due))
      return true
    }
    if !isKnown { tooFew(key, site) }
  }

  /// Turns off what was disabled with a delay that is over, and tells how long it is until the next
  /// one; nil if there is none.
  ///
  ///     cpu.idle(for: try keys.applyDelayed())
  ///
  /// - Parameters:
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: how long until the next one is due; nil if there is none.
  /// - Throws: as `update(until:_:)`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and user
  /// - Allocates: where a key is turned
  @discardableResult
  public func applyDelayed(
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> Duration? {
    let site = CallSite(file, line)
    try requireMayChange(site)
    let now = self.now
    var changes = Changes()
    for key in takeDelayed(before: now) { changes.disable(key) }
    if !changes.keys.isEmpty { _ = try apply(changes, until: .covered, site) }
    return state.withLock { $0.delayed.map(\.due).min() }
      .map { .nanoseconds(Int64(clamping: $0 - min($0, now))) }
  }

  func takeDelayed(before now: UInt64) -> [StaticKey] {
    state.withLock { state in
      if state.delayed.isEmpty { return [] }
      let due = state.delayed.filter { $0.due <= now }.map(\.key)
      state.delayed.removeAll { $0.due <= now }
      return due
    }
  }

  /// The coordinator's clock in nanoseconds; where a test moves it, that one.
  var now: UInt64 {
    coordinator.configuration.watchdog?.isManual == true
      ? coordinator.core.clock.value.load(ordering: .relaxed)
      : cpi_monotonic_nanoseconds()
  }
}

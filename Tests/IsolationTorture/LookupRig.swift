// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A cache before a table whose entries only grow, and whose invalidations are waited for.
final class LookupRig: Sendable {
  static let keys = 64
  private let cache: LookupCache<UInt64, UInt64>
  private let table = WordTable(keys, 1)
  private let told = WordTable(keys, 1)

  init(_ coordinator: Coordinator) throws(IsolationError) {
    cache = try LookupCache(coordinator, "lookup", sets: 4, ceiling: 4)
  }

  func open(on cpu: borrowing LocalCPU) -> LookupCache<UInt64, UInt64>.Local { cache.open(on: cpu) }

  /// Changes an entry, and tells when no CPU finds the old one.
  func change(_ turn: inout Turn) {
    let key = turn.random.below(Self.keys)
    let value = table.add(key)
    if turn.bug == .staleLookup { return told.raise(key, to: value) }
    let ticket =
      turn.random.oneIn(8)
      ? cache.invalidateAll()
      : cache.invalidate([UInt64(key), UInt64(turn.random.below(Self.keys))])
    turn.count(.invalidation)
    if turn.random.oneIn(2) { return }
    let outcome = ticket.wait(until: .covered, timeout: Torture.generous)
    turn.check(outcome == .settled, "an invalidation was \(outcome)")
    if outcome == .settled { told.raise(key, to: value) }
  }

  func promise(of key: Int) -> UInt64 { told.loadAcquiring(key) }

  func look(
    _ local: borrowing LookupCache<UInt64, UInt64>.Local, _ cpu: borrowing LocalCPU, _ key: Int,
    _ promise: UInt64, _ turn: inout Turn
  ) {
    let value = local.lookUp(UInt64(key), on: cpu) { table.load(Int($0)) }
    check(key, value, promise, &turn)
  }

  /// By any thread.
  func look(_ turn: inout Turn) {
    let key = turn.random.below(Self.keys)
    let promise = promise(of: key)
    check(key, cache.lookUp(UInt64(key)) { table.load(Int($0)) }, promise, &turn)
  }

  private func check(_ key: Int, _ value: UInt64?, _ promise: UInt64, _ turn: inout Turn) {
    turn.count(.cachedLookUp)
    turn.check(
      (value ?? 0) >= promise, "key \(key) leads to \(value ?? 0), and \(promise) was told before")
  }

  func finish(_ torture: Torture) {
    do throws(IsolationError) {
      try cache.close(timeout: Torture.generous)
    } catch {
      torture.violations.note("a lookup cache was not closed: \(error)")
    }
  }
}

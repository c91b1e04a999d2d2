// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// Static keys and a static call, with several writers on words beside each other.
// Sendable: the contexts' memory is written by one thread at a time, and read by calls, which is what is looked at.
@safe
final class KeyRig: @unchecked Sendable {
  private let coordinator: Coordinator
  private let torture: Torture
  private let keys: StaticKeys
  private let key: StaticKey
  private let others: [StaticKey]
  private let immediate: StaticKey
  private let call: StaticCall
  /// Who changes the key and the call.
  private let writer = WordTable(1)
  /// What that has told everybody: on, off, or nothing while it changes. Counts up, so that the same value twice is the same
  /// moment.
  private let told = WordTable(1)
  private let toldExchange = WordTable(1)
  private let turns = WordTable(1)
  private let contexts: UnsafeMutablePointer<Int>
  private static let contextCount = 1024

  private enum Told {
    static let nothing: UInt64 = 0
    static let on: UInt64 = 1
    static let off: UInt64 = 3
  }

  /// What an owner has read before an entry.
  struct Expectation {
    var told: UInt64 = 0
    var exchange: UInt64 = 0
  }

  init(_ coordinator: Coordinator, _ torture: Torture) throws(IsolationError) {
    self.coordinator = coordinator
    self.torture = torture
    keys = try StaticKeys(coordinator)
    key = try keys.makeKey("key")
    immediate = try keys.makeKey("immediate", neverDeferred: true)
    call = try unsafe keys.makeCall("call")
    var others: [StaticKey] = []
    for index in 0..<4 { others.append(try keys.makeKey("other \(index)")) }
    self.others = others
    // Safety: this object's own, until `deinit`.
    unsafe contexts = .allocate(capacity: Self.contextCount)
    unsafe contexts.initialize(repeating: -1, count: Self.contextCount)
  }

  deinit { unsafe contexts.deallocate() }

  // MARK: Changing

  /// Turns keys and exchanges the call, by a thread that is no CPU.
  func change(_ turn: inout Turn) {
    do throws(IsolationError) {
      if writer.change(0, from: 0, to: 1) {
        defer { writer.storeReleasing(0, 0) }
        try turnKey(&turn)
      } else {
        try turnOthers(&turn)
      }
    } catch {
      turn.check(false, "a key was not changed: \(error)")
    }
  }

  private func turnKey(_ turn: inout Turn) throws(IsolationError) {
    let number = turns.add(0)
    if turn.bug == .earlyKey { told.storeInOrder(0, number << 2 | Told.on) }
    let outcome = try keys.enable(key)
    turn.check(outcome == .flipped, "a key that was off was \(outcome)")
    told.storeInOrder(0, number << 2 | Told.on)
    try turnOthers(&turn)
    try exchange(Int(number), &turn)
    told.storeInOrder(0, number << 2 | Told.nothing)
    try keys.disable(key)
    told.storeInOrder(0, number << 2 | Told.off)
    try turnOthers(&turn)
    told.storeInOrder(0, number << 2 | Told.nothing)
    turn.check(keys.count(of: key) == 0, "a key has \(keys.count(of: key)) users, and had none")
  }

  private func exchange(_ number: Int, _ turn: inout Turn) throws(IsolationError) {
    let place = number % Self.contextCount
    let old = (number + Self.contextCount - 1) % Self.contextCount
    // Safety: inside; given up long ago.
    unsafe contexts[place] = number
    if turn.bug == .staleCallContext { unsafe contexts[old] = -1 }
    try unsafe keys.update(
      call, to: contexts + place,
      { context, _ in
        unsafe context.unsafelyUnwrapped.assumingMemoryBound(to: Int.self).pointee
      })
    toldExchange.storeInOrder(0, UInt64(number))
    let outcome = coordinator.synchronize(timeout: Torture.generous)
    turn.check(outcome == .settled, "the grace period of a call ended as \(outcome)")
    if outcome == .settled { unsafe contexts[old] = -1 }
  }

  private func turnOthers(_ turn: inout Turn) throws(IsolationError) {
    let changed = others.filter { _ in turn.random.oneIn(2) }
    try keys.update { changes in for key in changed { changes.enable(key) } }
    if turn.random.oneIn(8) {
      for key in changed { try keys.disable(key, after: .microseconds(50)) }
      usleep(100)
      _ = try keys.applyDelayed()
    } else {
      try keys.update { changes in for key in changed { changes.disable(key) } }
    }
    if turn.random.oneIn(32) {
      try keys.enable(immediate)
      try keys.disable(immediate)
    }
    turn.count(.keyChange, changed.count)
  }

  // MARK: Looking

  func expectation() -> Expectation {
    Expectation(told: told.loadInOrder(0), exchange: toldExchange.loadInOrder(0))
  }

  /// Looks, in kernel, having read an expectation before the entry.
  func look(_ cpu: borrowing LocalCPU, _ expectation: Expectation, _ turn: inout Turn) {
    check(key.isEnabled(on: cpu), call(0, on: cpu), expectation, &turn)
    _ = immediate.isEnabled(on: cpu)
    _ = others[turn.random.below(others.count)].isEnabled(on: cpu)
  }

  func look(_ cpu: CPUHandle, _ expectation: Expectation, _ turn: inout Turn) {
    check(key.isEnabled(on: cpu), call(0, on: cpu), expectation, &turn)
  }

  private func check(
    _ isOn: Bool, _ exchanged: Int, _ expectation: Expectation, _ turn: inout Turn
  ) {
    turn.count(.keyLook)
    turn.count(.staticCall)
    turn.check(
      exchanged >= Int(expectation.exchange),
      "a static call ran with context \(exchanged), after \(expectation.exchange) was told")
    guard expectation.told & 1 != 0, told.loadInOrder(0) == expectation.told else { return }
    let wanted = expectation.told & 3 == Told.on
    turn.check(isOn == wanted, "a key is \(isOn ? "on" : "off"), and was told to be otherwise")
  }
}

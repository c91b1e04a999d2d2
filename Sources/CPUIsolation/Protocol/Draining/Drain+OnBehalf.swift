// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// How a run on behalf of another CPU ended.
enum HelpOutcome {
  /// The bits were taken and run.
  case ran
  /// Another helper, or the CPU itself, has the bits or will have them.
  case busy
  /// The CPU is in kernel, or gone.
  case notAway
}

extension Drain {
  /// Runs the work of `types` for a CPU that is outside kernel. The caller is not this CPU's
  /// thread.
  ///
  /// The pin and W are a Dekker pair of their own, against entry:
  /// - If our pin comes before the owner's look at it (`entry:P`), the owner waits until we let go.
  /// - If the owner's addition to W comes before our look at W, we see kernel, and let go without
  ///   having run anything.
  /// An exclusive try-lock and not a count: two helpers at once would run two handlers for one CPU
  /// at the same time.
  func drainOnBehalf(_ types: UInt64, helper: Int32) -> HelpOutcome {
    // Sequentially consistent — onBehalf:P. Dekker with entry:W/entry:P.
    guard
      slot.state.pin.compareExchange(
        expected: 0, desired: UInt64(UInt32(bitPattern: helper)),
        successOrdering: .sequentiallyConsistent, failureOrdering: .relaxed
      ).exchanged
    else { return .busy }
    defer { Self.unpin(slot) }
    // Sequentially consistent — onBehalf:W. The look comes after the pin.
    let word = ContextWord(
      rawValue: slot.state.word.load(ordering: .sequentiallyConsistent))
    guard let context = word.context, context.acceptsDeferral else { return .notAway }
    // Acquire and release — drain:T.
    let taken =
      slot.state.work.bitwiseAnd(~types, ordering: .sequentiallyConsistent).oldValue
      & types
    fullFenceAfterExchange()
    let lagging = lagging(among: types)
    guard taken | lagging != 0 else { return .busy }
    // Acquire — drain:V, as for the owner.
    let live = core.line.live.load(ordering: .acquiring)
    let before = Self.setHelped(slot.base)
    runOnBehalf(taken | lagging, live: live, bits: taken)
    _ = Self.setHelped(before)
    // What ran may be what the sleeper's loop waits for, and nothing is left in K to wake it.
    if context == .idle { slot.call.parker.unpark() }
    return .ran
  }

  /// Runs one type after the other, and keeps what has not run to its end where the end of the thread
  /// finds it.
  private func runOnBehalf(_ types: UInt64, live: UInt64, bits: UInt64) {
    var left = types
    while left != 0 {
      slot.state.helpTaken.store(left & bits, ordering: .relaxed)
      let type = left & (0 &- left)
      runHandlers(type, live: live, nil, bits: bits & type)
      left ^= type
    }
    slot.state.helpTaken.store(0, ordering: .relaxed)
  }

  /// In the pin: the helper's thread has ended, and the CPU, which is on its way into kernel, clears it.
  static let endedHelper: UInt64 = 1 << 32

  /// Lets go of the pin, or leaves that to its CPU.
  private static func unpin(_ slot: CPUSlot, leaving pin: UInt64 = 0) {
    // Relaxed: the holder of the pin alone writes it.
    let helps = slot.state.helps.load(ordering: .relaxed)
    // Release — onBehalf:H. Everything the handlers did before a grace period takes this helper for
    // gone, also where the next one has the pin by then. Pairs with gracePeriod:H.
    slot.state.helps.store(helps &+ 1, ordering: .releasing)
    // Release — onBehalf:U. Everything the handlers did, and `applied`, before the owner goes on.
    // Pairs with entry:P.
    slot.state.pin.store(pin, ordering: .releasing)
  }

  /// Says on whose behalf this thread runs a handler now; returns on whose it did before.
  private static func setHelped(_ cpu: Address?) -> Address? {
    // Safety: what is helped is a slot, and stays one while it is pinned.
    unsafe CurrentThread.setHelped(cpu) { base in
      unsafe Drain.helperExits(CPUSlot(base: Address(base)))
    }
  }

  /// The calling thread ends inside a handler that it runs on behalf of a CPU, perhaps inside one that
  /// a handler on behalf of another CPU has sent for. What was taken and has not run to its end is
  /// pending again: the CPU's next entry runs it.
  ///
  /// An entry looks at K before it looks at the pin, so the bits may come too late for its first look:
  /// - If our OR comes before that look, the entry sees the bits.
  /// - Else the owner's addition to W, which precedes the look, comes before our look at W. We see
  ///   kernel, and do not let go: the entry finds the pin held, clears it, and looks at K again.
  static func helperExits(_ helped: CPUSlot) {
    let core = Drain(helped).core
    let own = UInt64(UInt32(bitPattern: CurrentThread.id))
    for cpu in 0..<core.slots.count {
      let slot = core.slots[cpu]
      guard slot.state.pin.load(ordering: .relaxed) == own else { continue }
      giveBack(slot.state.helpTaken.exchange(0, ordering: .relaxed), of: slot, core)
      // Sequentially consistent — onBehalf:E. Dekker with entry:W/entry:K.
      let word = ContextWord(
        rawValue: slot.state.word.load(ordering: .sequentiallyConsistent))
      guard let context = word.context, context.acceptsDeferral else {
        unpin(slot, leaving: endedHelper)
        continue
      }
      unpin(slot)
      // Its loop may wait for what is pending again.
      if context == .idle { slot.call.parker.unpark() }
    }
  }

  /// Makes taken bits pending again, with everything that their handlers can be told.
  private static func giveBack(_ bits: UInt64, of slot: CPUSlot, _ core: CoordinatorCore) {
    var left = bits
    while left != 0 {
      let type = left.trailingZeroBitCount
      switch core.records[UInt64(type)].form {
      case .maximum, .union, .hull: slot.payloads[type].store(.max, ordering: .relaxed)
      case .bit, .catchUp: break
      }
      left &= left &- 1
    }
    // Sequentially consistent — onBehalf:B. Before the look at W (onBehalf:E). Pairs with drain:T.
    let before = slot.state.work.bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
    // Sent again since the take: one run is for both, and the send that was in hand has none.
    left = before & bits
    while left != 0 {
      slot.dropped[left.trailingZeroBitCount].wrappingAdd(1, ordering: .relaxed)
      left &= left &- 1
    }
  }
}

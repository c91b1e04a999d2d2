// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("ContextTracker")
struct ContextTrackerTests {
  let memory: SlotMemory
  let tracker: ContextTracker
  var slot: CPUSlot { tracker.slot }
  var work: UInt64 { slot.state.work.load(ordering: .relaxed) }

  /// A CPU in kernel, as after attaching.
  init() throws {
    memory = try SlotMemory(cpus: 1)
    tracker = memory.tracker(0)
    _ = tracker.enterKernel(from: .offline, comparing: memory.summary)
  }

  /// What an entry from `context` found, in words that can be compared.
  func enter(from context: CPUContext) -> Found {
    switch tracker.enterKernel(from: context, comparing: memory.summary) {
    case .clear: .clear
    case .taken(let bits): .taken(bits)
    case .special: .special
    }
  }

  enum Found: Equatable {
    case clear
    case taken(UInt64)
    case special
  }

  func expectWord(
    _ context: CPUContext, _ counter: UInt64, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(memory.word(0).context == context, sourceLocation: sourceLocation)
    #expect(memory.word(0).counter() == counter, sourceLocation: sourceLocation)
    // The owner's copy never lags.
    let copy = slot.owner.word.load(ordering: .relaxed)
    #expect(copy == memory.word(0).rawValue, sourceLocation: sourceLocation)
    #expect(tracker.ownContext == UInt64(context.rawValue), sourceLocation: sourceLocation)
  }

  @Test("attaching is an entry like any other")
  func attach() { expectWord(.kernel, 1) }

  @Test("entry and exit with nothing pending are quick", arguments: [CPUContext.user, .guest])
  func roundTrip(context: CPUContext) {
    for round in 1...3 as ClosedRange<UInt64> {
      #expect(tracker.leaveKernel(to: context))
      expectWord(context, 2 * round)
      #expect(enter(from: context) == .clear)
      expectWord(.kernel, 2 * round + 1)
    }
  }

  @Test("an exit that finds something pending does nothing")
  func pendingExit() {
    _ = slot.state.work.setBit(5)
    #expect(!tracker.leaveKernel(to: .user))
    expectWord(.kernel, 1)
  }

  @Test("an entry takes what is pending, all of it")
  func pendingEntry() {
    _ = tracker.leaveKernel(to: .user)
    for bit in [5, 60, 63] as [UInt64] { _ = slot.state.work.setBit(bit) }
    #expect(enter(from: .user) == .taken(1 << 5 | 1 << 60 | 1 << 63))
    expectWord(.kernel, 3)
    #expect(work == 0)
  }

  @Test("an entry that finds a helper's pin is made all the same, and takes nothing")
  func pinnedEntry() {
    _ = tracker.leaveKernel(to: .user)
    _ = slot.state.work.setBit(5)
    slot.state.pin.store(77, ordering: .relaxed)
    #expect(enter(from: .user) == .special)
    expectWord(.kernel, 3)
    #expect(work == 1 << 5)
  }

  @Test("a signal handler's entry takes nothing")
  func handlerEntry() {
    _ = tracker.leaveKernel(to: .user)
    _ = slot.state.work.setBit(5)
    #expect(tracker.enterKernelTakingNothing(from: .user) == 1 << 5)
    expectWord(.kernel, 3)
    #expect(work == 1 << 5)
  }

  @Test("a flag or a nested section sends both ways through the slow path")
  func special() {
    slot.owner.special.store(OwnerFlags.depth, ordering: .relaxed)
    #expect(!tracker.leaveKernel(to: .user))
    expectWord(.kernel, 1)
    slot.owner.special.store(0, ordering: .relaxed)
    _ = tracker.leaveKernel(to: .user)
    slot.owner.special.store(OwnerFlags.sanitized, ordering: .relaxed)
    #expect(enter(from: .user) == .special)
  }

  @Test("a transition from where the CPU is not is noticed, and takes nothing")
  func wrongContext() {
    _ = slot.state.work.setBit(5)
    #expect(enter(from: .user) == .special)
    #expect(memory.word(0).context != .kernel)
    #expect(work == 1 << 5)
  }

  @Test("leaving twice is noticed, and does nothing")
  func leavingTwice() {
    _ = tracker.leaveKernel(to: .user)
    #expect(!tracker.leaveKernel(to: .user))
    expectWord(.user, 2)
  }

  @Test("attention is the kick's bit and no other")
  func attention() {
    #expect(!tracker.isAttentionWanted)
    for bit in 0..<BuiltInWork.attention { _ = slot.state.work.setBit(bit) }
    #expect(!tracker.isAttentionWanted)
    _ = slot.state.work.setBit(BuiltInWork.attention)
    #expect(tracker.isAttentionWanted)
  }

  @Test(
    "leaving to sleep or for good is made whatever is pending",
    arguments: [CPUContext.idle, .offline])
  func fenced(context: CPUContext) {
    _ = slot.state.work.setBit(5)
    tracker.leaveKernelFenced(to: context)
    expectWord(context, 2)
  }

  @Test("a declared quiescent state moves the counter by two, and is counted")
  func declareQuiescent() {
    tracker.declareQuiescent()
    expectWord(.kernel, 3)
    let declared = slot.owner.quiescentStates.load(ordering: .relaxed)
    #expect(declared == 1)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// What reviewers found in deferring TLB flushes, one by one, as far as it has a counterpart here.
@Suite("Hazards of deferred flushes")
struct TranslationHazardTests {
  let coordinator: Coordinator
  let space: AddressSpace
  let cpu: TranslatingThread

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    space = try AddressSpace(coordinator, AddressSpace.Options(pages: 1 << 20))
    cpu = try TranslatingThread(coordinator, on: 1, space)
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
  }

  private func end() throws {
    try cpu.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  /// What a retirement gives back.
  private func released(_ old: inout AddressSpace.Retirement) -> [UInt64]? {
    var frames: [UInt64] = []
    return old.poll { frames.append($1) } ? frames : nil
  }

  @Test("the bad case: a CPU in kernel is not interrupted, and costs one queued run")
  func remoteInKernel() throws {
    for frame in 71..<80 as Range<UInt64> { space.change(7, to: frame) }
    let before = coordinator.statistics()[space.flushRangeWork, on: 1]
    #expect(before.executed == 0 && before.pending == 1)
    try cpu.cpu.safePoint()
    let counts = coordinator.statistics()[space.flushRangeWork, on: 1]
    #expect(counts.executed == 1 && counts.merged == 8 && counts.sent == 9)
    #expect(try cpu.lookUp(7) == 79)
    try end()
  }

  @Test("memory is not reused before the flush: the frame stays with the retirement")
  func reuseBeforeTheFlush() throws {
    var old = space.unmap(0..<16)
    #expect(old.count == 1)
    #expect(old.stragglers == [1])
    #expect(released(&old) == nil)
    // The section goes on with the frame, which is why it must not come back yet.
    #expect(try cpu.lookUp(7) == 70)
    try cpu.cpu.safePoint()
    #expect(try cpu.lookUp(7) == nil)
    #expect(released(&old) == [70])
    #expect(released(&old) == [])
    #expect(old.count == 0)
    try end()
  }

  enum OwnChange: CaseIterable { case change, replace, unmap, flushAll, batch }

  @Test("a change that a CPU makes itself is a safe point", arguments: OwnChange.allCases)
  func ownChange(_ change: OwnChange) throws {
    #expect(try space.map(8, to: 80) == .mapped)
    let unmapper = AddressSpace.LazyUnmapper(space, pages: 8..<9, maximumPending: 1) { _, _ in }
    #expect(unmapper.reserve(1) == 8..<9)
    var old = space.unmap(7..<8)
    #expect(released(&old) == nil)
    try cpu.cpu.run { [space] _ in
      switch change {
      case .change: space.change(8, to: 81)
      case .replace: _ = space.replace(8, with: 81)
      case .unmap: _ = space.unmap(8..<9)
      case .flushAll: space.flushAll()
      case .batch: _ = unmapper.unmap(8..<9)
      }
    }
    // What it had found before may be somebody else's now.
    #expect(released(&old) == [70])
    #expect(try cpu.lookUp(7) == nil)
    try end()
  }

  @Test("a flush that is refused acknowledges nothing: the frame comes back after the thread")
  func refusedFlush() throws {
    coordinator.close(timeout: .zero)
    var old = space.unmap(7..<8)
    #expect(old.ticket.report.refusal == .rejected(.closed))
    #expect(old.stragglers == [1])
    #expect(released(&old) == nil)
    let outcome = old.wait { _, frame in Issue.record("frame \(frame) is in use") }
    #expect(outcome == .closed([1]))
    // Nobody told it, and a safe point does not either: its next section goes on with the frame.
    try cpu.cpu.safePoint()
    try cpu.cpu.enterUser()
    #expect(released(&old) == nil)
    try cpu.cpu.enterKernel()
    #expect(try cpu.lookUp(7) == 70)
    try cpu.end()
    #expect(released(&old) == [70])
  }

  @Test("closing that came to no end refuses flushes, and frees nothing")
  func refusedWhileClosing() throws {
    // Its section goes on with the frame that it has found.
    try cpu.close()
    #expect(space.close(timeout: .zero) == .timedOut([1]))
    let frames = Guarded<[UInt64]>([])
    let unmapper = AddressSpace.LazyUnmapper(space, pages: 0..<64) { _, frame in
      frames.withLock { $0.append(frame) }
    }
    #expect(unmapper.reserve(64) == 0..<64)
    #expect(unmapper.unmap(0..<64) == .batched)
    // More than the ceiling: a flush of everything, whose type takes no sends any more.
    #expect(unmapper.purge() == .closed([1]))
    #expect(frames.withLock { $0 } == [] && unmapper.reserve(1) == nil)
    try cpu.end()
    #expect(unmapper.purge() == .settled)
    #expect(frames.withLock { $0 } == [70])
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  @Test("a new mapping is not placed over an address that a CPU away has cached")
  func newMappingOverStaleEntry() throws {
    try cpu.cpu.enterUser()
    var old = space.unmap(7..<8)
    #expect(try space.map(7, to: 71) == .retiring)
    #expect(try space.map(0, to: 71, size: .large) == .retiring)
    // Away with the flush pending: it drops the entry before it can look anything up.
    #expect(released(&old) == [70])
    #expect(try space.map(7, to: 71) == .mapped)
    try cpu.cpu.enterKernel()
    #expect(try cpu.lookUp(7) == 71)
    try end()
  }

  @Test("break before make: a page that is mapped is not mapped again")
  func breakBeforeMake() throws {
    #expect(try space.map(7, to: 71) == .occupied(frame: 70))
    #expect(try space.map(0, to: 71, size: .large) == .occupied(frame: 70))
    guard var old = space.replace(7, with: 71) else {
      Issue.record("page 7 is not mapped")
      return
    }
    #expect(try cpu.lookUp(7) == 70)
    #expect(released(&old) == nil)
    try cpu.cpu.safePoint()
    #expect(released(&old) == [70])
    #expect(try cpu.lookUp(7) == 71)
    #expect(space.table.frame(of: 7) == 71)
    try end()
  }

  @Test("freed table pages: there are none, whatever is unmapped")
  func tablePagesAreNeverFreed() throws {
    let before = space.table.memoryInUse
    for round in 0..<10 as Range<UInt64> {
      var old = space.unmap(0..<512)
      try cpu.cpu.safePoint()
      #expect(released(&old) != nil)
      let isLarge = round % 2 == 0
      #expect(try space.map(0, to: round * 1000, size: isLarge ? .large : .base) == .mapped)
      #expect(try cpu.lookUp(0) == round * 1000)
    }
    #expect(space.table.memoryInUse == before)
    try end()
  }

  @Test("a grace period is not an acknowledgement: a quiescent state passes it")
  func gracePeriodIsNotEnough() throws {
    // The flush is sent after the look of the quiescent state: here, by hand, before the send.
    var gracePeriod = coordinator.startGracePeriod()
    try cpu.cpu.run { $0.declareQuiescent() }
    let isOver = gracePeriod.poll()
    #expect(isOver)
    var old = space.unmap(7..<8)
    #expect(released(&old) == nil)
    try cpu.cpu.run { $0.declareQuiescent() }
    #expect(released(&old) == [70])
    try end()
  }

  @Test("what is freed is sent to a lazy CPU too: its section may still use the frame")
  func freedIsSentToLazyCPUs() throws {
    let mayGoOn = Flag()
    let step = cpu.startLazy(until: mayGoOn)
    #expect(space.change(7, to: 71)?.report[.skipped] == coordinator.cpus)
    var old = space.unmap(7..<8)
    #expect(old.ticket.report[.queued] == [1])
    #expect(released(&old) == nil)
    mayGoOn.raise()
    try step.value()
    #expect(released(&old) == nil)
    try cpu.cpu.safePoint()
    #expect(released(&old) == [71])
    #expect(try cpu.lookUp(7) == nil)
    try end()
  }

  @Test("a lazy CPU that was not told of changes compares generations before it looks")
  func lazyWithPendingGenerations() throws {
    #expect(try space.map(8, to: 80) == .mapped)
    #expect(try cpu.lookUp(8) == 80)
    let mayGoOn = Flag()
    let step = cpu.startLazy(until: mayGoOn)
    #expect(space.change(7, to: 71)?.report[.skipped] == coordinator.cpus)
    mayGoOn.raise()
    try step.value()
    #expect(try cpu.lookUp(7) == 71)
    #expect(try cpu.lookUp(8) == 80)
    #expect(space.statistics(of: 1).partialFlushes == 1)
    // It was told of none, so no handler ran.
    try cpu.cpu.safePoint()
    #expect(coordinator.statistics()[space.flushRangeWork, on: 1].executed == 0)
    try end()
  }

  @Test("a thread that ends leaves no entry to the next one on its CPU")
  func nextThread() throws {
    try cpu.end()
    space.change(7, to: 71)
    var old = space.unmap(7..<8)
    #expect(old.ticket.report[.gone] == coordinator.cpus)
    #expect(released(&old) == [71])
    #expect(try space.map(7, to: 72) == .mapped)
    let next = try TranslatingThread(coordinator, on: 1, space)
    #expect(try next.lookUp(7) == 72)
    try next.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  @Test("a CPU that joins late begins at the generation that there is")
  func lateJoiner() throws {
    for frame in 71..<100 as Range<UInt64> { space.change(7, to: frame) }
    let late = try TranslatingThread(coordinator, on: 2, space)
    #expect(try late.lookUp(7) == 99)
    #expect(space.statistics(of: 2).generation == 29)
    try late.cpu.safePoint()
    #expect(space.statistics(of: 2).partialFlushes == 0 && space.statistics(of: 2).fullFlushes == 0)
    try late.end()
    try end()
  }

  @Test(
    "a page of early entry is never deferred: its change interrupts, and waits",
    .needsQueuedSignals)
  func neverDeferred() throws {
    let coordinator = try Coordinator(.scripted(isolated: 1, .signal))
    let space = try AddressSpace(coordinator, AddressSpace.Options(pages: 1024))
    #expect(try space.map(7, to: 70, neverDeferred: true) == .mapped)
    let cpu = try TranslatingThread(coordinator, on: 1, space)
    #expect(try cpu.lookUp(7) == 70)
    let mayGoOn = Flag()
    let step = cpu.cpu.start { cpu in cpu.inUser { mayGoOn.wait() } }
    #expect(eventually { coordinator.context(of: 1) == .user })
    let change = try #require(space.change(7, to: 71, timeout: .seconds(20)))
    #expect(change.report[.interrupted] == [1])
    #expect(change.outcome == .settled)
    #expect(coordinator.context(of: 1) == .user)
    #expect(space.statistics(of: 1).partialFlushes == 1)
    var old = space.unmap(7..<8)
    var frames: [UInt64] = []
    let outcome = old.wait(timeout: .seconds(20)) { frames.append($1) }
    #expect(outcome == .settled && frames == [71])
    mayGoOn.raise()
    try step.value()
    #expect(try cpu.lookUp(7) == nil)
    try cpu.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  @Test("early entry: a handler looks up what is never deferred, by its number")
  func lookUpInHandler() throws {
    #expect(try space.map(9, to: 90, neverDeferred: true) == .mapped)
    let seen = Guarded<UInt64?>(nil)
    let work = try coordinator.register("early reader") { [space] cpu in
      seen.withLock { $0 = space.lookUp(9, asCPU: cpu) }
    }
    coordinator.send(work, to: 1)
    try cpu.cpu.safePoint()
    #expect(seen.withLock { $0 } == 90)
    // Outside handlers any page will do.
    let outside = try cpu.cpu.run { [space] _ in space.lookUp(7, asCPU: 1) }
    #expect(outside == 70)
    try end()
  }

  @Test("the flush comes before other handlers of the same entry, whatever was sent first")
  func flushRunsFirst() throws {
    let generation = Guarded<UInt64>(0)
    let work = try coordinator.register("behind") { [space] _ in
      generation.withLock { $0 = space.statistics(of: 1).generation }
    }
    try cpu.cpu.enterUser()
    coordinator.send(work, to: 1)
    space.change(7, to: 71)
    try cpu.cpu.enterKernel()
    #expect(generation.withLock { $0 } == 1)
    try end()
  }

  @Test("a helper runs the flush of a CPU that is away")
  func onBehalf() throws {
    try cpu.cpu.enterUser()
    space.change(7, to: 71)
    let outcome = coordinator.send(space.flushRangeWork, to: 1, urgency: .onBehalf)
    #expect(outcome == .ranOnBehalf || outcome == .merged)
    #expect(space.statistics(of: 1).partialFlushes == 1)
    try cpu.cpu.enterKernel()
    #expect(try cpu.lookUp(7) == 71)
    try end()
  }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Static keys")
struct StaticKeyTests {
  @Test("in user a key stays as it is; the next entry has the new value")
  func flipsAtEntry() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    #expect(try keys.enable(key) == .flipped)
    #expect(keys.isEnabled(key))
    #expect(try !cpu.run { key.isEnabled(on: $0) })
    #expect(!keys.isEnabled(key, on: 1))
    try cpu.enterKernel()
    #expect(try cpu.run { key.isEnabled(on: $0) })
    try cpu.enterUser()
    #expect(try keys.disable(key) == .flipped)
    #expect(!keys.isEnabled(key))
    #expect(try cpu.run { key.isEnabled(on: $0) })
    // A look at the copy by every form.
    #expect(try cpu.run { key.isEnabled(on: $0.handle) && keys.isEnabled(key) })
    try cpu.enterKernel()
    #expect(try cpu.run { !key.isEnabled(on: $0) && !keys.isEnabled(key) })
    try cpu.end()
    coordinator.expectBalance(of: keys.deferred.work)
  }

  @Test("in kernel a key changes at safe points alone, and the change waits for one")
  func flipsAtSafePoint() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let cpu = try ScriptedThread(coordinator, on: 1)
    let change = PlainThread.start { try? keys.enable(key) }
    // Turned for all and sent: before that a safe point would find nothing.
    #expect(eventually { coordinator.statistics()[keys.deferred.work].pending == 1 })
    #expect(keys.isEnabled(key))
    #expect(try cpu.run { !key.isEnabled(on: $0) })
    #expect(!change.isOver)
    // The first enable is in progress: it counts.
    #expect(keys.count(of: key) == 1)
    #expect(
      keys.deferred.table.count(0).value.load(ordering: .relaxed) == KeyTable.enabling)
    try cpu.safePoint()
    #expect(try cpu.run { key.isEnabled(on: $0) })
    #expect(try change.value() == .flipped)
    try cpu.end()
  }

  @Test("an enable that comes while the first one waits, waits with it")
  func laterUserWaits() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let cpu = try ScriptedThread(coordinator, on: 1)
    let first = PlainThread.start { try? keys.enable(key) }
    #expect(eventually { coordinator.statistics()[keys.deferred.work].pending == 1 })
    let second = PlainThread.start { try? keys.enable(key) }
    #expect(try cpu.run { !key.isEnabled(on: $0) })
    #expect(!first.isOver && !second.isOver)
    try cpu.safePoint()
    #expect(try first.value() == .flipped)
    #expect(try second.value() == .counted)
    #expect(keys.count(of: key) == 2)
    try cpu.end()
  }

  @Test("users are counted: only the first and the last turn the key")
  func counts() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    #expect(keys.name(of: key) == "key")
    #expect(try keys.enable(key) == .flipped)
    #expect(try keys.enable(key) == .counted)
    let sent = coordinator.statistics()[keys.deferred.work].sent
    #expect(try keys.enable(key) == .counted)
    #expect(keys.count(of: key) == 3)
    #expect(try keys.disable(key) == .counted)
    #expect(try keys.disable(key) == .counted)
    #expect(coordinator.statistics()[keys.deferred.work].sent == sent)
    #expect(keys.isEnabled(key))
    #expect(try keys.disable(key) == .flipped)
    #expect(!keys.isEnabled(key) && keys.count(of: key) == 0)
  }

  @Test("a count that is full refuses, and stays")
  func overflow() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key", isEnabled: true)
    let limit = Int(Int32.max)
    keys.deferred.table.count(0).value.store(UInt64(limit - 1), ordering: .relaxed)
    #expect(try keys.enable(key) == .counted)
    #expect(try keys.enable(key) == .overflowed)
    let report = try keys.update {
      $0.enable(key)
      $0.enable(key)
    }
    #expect(report.overflowed == [key] && report.flipped.isEmpty && report.counted.isEmpty)
    #expect(keys.count(of: key) == limit)
    #expect(try keys.disable(key) == .counted)
    #expect(keys.count(of: key) == limit - 1 && keys.isEnabled(key))
  }

  @Test("a thread that attaches has the current values before it runs anything")
  func attachment() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let on = try keys.makeKey("on", isEnabled: true)
    let off = try keys.makeKey("off")
    let now = try keys.makeKey("now", isEnabled: true, neverDeferred: true)
    for _ in 0..<2 {
      let cpu = try ScriptedThread(coordinator, on: 1)
      #expect(try cpu.run { on.isEnabled(on: $0) && now.isEnabled(on: $0) })
      #expect(try cpu.run { !off.isEnabled(on: $0) })
      try cpu.end()
      try keys.disable(on)
      try keys.enable(off)
      let again = try ScriptedThread(coordinator, on: 1)
      #expect(try again.run { !on.isEnabled(on: $0) && off.isEnabled(on: $0) })
      try again.end()
      try keys.disable(off)
      try keys.enable(on)
    }
    coordinator.expectBalance(of: keys.deferred.work)
    coordinator.expectBalance(of: keys.immediate.work)
  }

  @Test("several changes are one send")
  func batch() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let all = try (0..<20).map { try keys.makeKey("\($0)", isEnabled: $0 < 10) }
    let still = try keys.makeKey("still")
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let sent = coordinator.statistics()[keys.deferred.work].sent
    let report = try keys.update { changes in
      for key in all[..<10] { changes.disable(key) }
      for key in all[10...] {
        changes.enable(key)
        changes.enable(key)
      }
      changes.enable(still)
      changes.disable(still)
    }
    #expect(report.flipped == Set(all))
    #expect(report.counted.isEmpty && !keys.isEnabled(still))
    // One to each CPU that there is.
    #expect(coordinator.statistics()[keys.deferred.work].sent == sent + 2)
    #expect(try cpu.run { cpu in all.map { $0.isEnabled(on: cpu) } } == all.indices.map { $0 < 10 })
    try cpu.enterKernel()
    let after = try cpu.run { cpu in all.map { $0.isEnabled(on: cpu) } }
    #expect(after == all.indices.map { $0 >= 10 })
    #expect(all.map { keys.count(of: $0) } == all.indices.map { $0 < 10 ? 0 : 2 })
    try cpu.end()
  }

  @Test("a disable that is delayed turns the key off once, and later")
  func delayed() throws {
    var configuration = Coordinator.Configuration.scripted()
    var watchdog = Coordinator.Configuration.Watchdog()
    watchdog.isManual = true
    configuration.watchdog = watchdog
    let coordinator = try Coordinator(configuration)
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let other = try keys.makeKey("other")
    var sent: UInt64 { coordinator.statistics()[keys.deferred.work].sent }
    #expect(try keys.applyDelayed() == nil)
    try keys.enable(key)
    let before = sent
    for _ in 0..<100 {
      try keys.disable(key, after: .seconds(1))
      coordinator.advanceClock(by: .milliseconds(1))
      try keys.enable(key)
      coordinator.advanceClock(by: .milliseconds(1))
    }
    // A storm of a hundred turns, and nobody has heard of it.
    #expect(sent == before && keys.isEnabled(key))
    // One user, and one who is about to leave.
    #expect(keys.count(of: key) == 2)
    #expect(try keys.disable(key) == .counted)
    coordinator.advanceClock(by: .seconds(2))
    #expect(try keys.applyDelayed() == nil)
    #expect(!keys.isEnabled(key) && keys.count(of: key) == 0)

    // The last one's delay counts, also where another user's is about to end.
    try keys.enable(key)
    try keys.disable(key, after: .seconds(1))
    try keys.enable(key)
    coordinator.advanceClock(by: .milliseconds(999))
    try keys.disable(key, after: .seconds(1))
    try keys.enable(other)
    try keys.disable(other, after: .milliseconds(1))
    coordinator.advanceClock(by: .milliseconds(1))
    #expect(try keys.applyDelayed() == .milliseconds(999))
    #expect(keys.isEnabled(key) && keys.count(of: key) == 1 && !keys.isEnabled(other))
    coordinator.advanceClock(by: .milliseconds(999))
    #expect(try keys.applyDelayed() == nil)
    #expect(!keys.isEnabled(key))

    try keys.enable(key)
    try keys.disable(key, after: .seconds(1))
    #expect(try keys.applyDelayed() == .seconds(1))
    coordinator.advanceClock(by: .milliseconds(999))
    #expect(try keys.applyDelayed() == .milliseconds(1))
    #expect(keys.isEnabled(key))
    coordinator.advanceClock(by: .milliseconds(1))
    // The next change of any key takes it along.
    let last = sent
    try keys.enable(other)
    #expect(sent == last + 2)
    #expect(!keys.isEnabled(key) && keys.isEnabled(other))
  }

  @Test(
    "a key that is never deferred interrupts, waits for all, and may be read in handlers",
    .needsQueuedSignals)
  func neverDeferred() throws {
    let coordinator = try Coordinator(.scripted(.signal))
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("now", neverDeferred: true)
    let deferred = try keys.makeKey("later")
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    try keys.enable(deferred)
    #expect(try keys.enable(key) == .flipped)
    // Still in the user section that it was in.
    #expect(coordinator.context(of: 1) == .user)
    #expect(try cpu.run { key.isEnabled(on: $0) && !deferred.isEnabled(on: $0) })
    let seen = Journal<Bool>()
    let work = try coordinator.register("reader") { cpu in
      seen.append(keys.isEnabled(key, on: cpu) && keys.isEnabled(key))
    }
    coordinator.send(work, to: 1)
    try cpu.enterKernel()
    #expect(seen.entries == [true])
    try cpu.end()
    coordinator.expectBalance(of: keys.immediate.work)
  }

  @Test("a CPU that polls turns it at its poll")
  func neverDeferredPolls() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("now", neverDeferred: true)
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let change = PlainThread.start { try? keys.enable(key) }
    // Kicked: before that a poll would find nothing.
    #expect(eventually { coordinator.statistics()[keys.immediate.work, on: 1].interrupted == 1 })
    #expect(try !cpu.run { key.isEnabled(on: $0) })
    #expect(!change.isOver)
    try cpu.poll()
    #expect(try change.value() == .flipped)
    #expect(try cpu.run { key.isEnabled(on: $0) })
    try cpu.end()
  }

  @Test("a CPU changes keys in kernel, and has the new value itself")
  func byCPU() throws {
    let coordinator = try Coordinator(.scripted(isolated: 2))
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let first = try ScriptedThread(coordinator, on: 1)
    let second = try ScriptedThread(coordinator, on: 2)
    // Both in kernel, each waiting for the other: who waits serves.
    let one = first.start { cpu in
      let outcome = try? keys.enable(key)
      return (outcome, key.isEnabled(on: cpu))
    }
    let two = second.start { cpu in
      let outcome = try? keys.enable(key)
      return (outcome, key.isEnabled(on: cpu))
    }
    let outcomes = try [(one.value()), (two.value())]
    #expect(outcomes.allSatisfy { $0.1 })
    #expect(Set(outcomes.compactMap(\.0)) == [.flipped, .counted] || keys.count(of: key) == 2)
    #expect(keys.count(of: key) == 2)
    try first.end()
    try second.end()
  }

  @Test("there is room for 512 words of either kind, and no more")
  func capacity() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    for side in [false, true] {
      let all = try (0..<512).map { try keys.makeKey("\($0)", neverDeferred: side) }
      #expect(Set(all).count == 512)
      let error = #expect(throws: IsolationError.self) {
        try keys.makeKey("one more", neverDeferred: side)
      }
      #expect(error?.code == .tooManyStaticKeys)
      // The last of them is as good as the first.
      try keys.enable(all[511])
      let cpu = try ScriptedThread(coordinator, on: 1)
      #expect(try cpu.run { cpu in all.map { $0.isEnabled(on: cpu) } }.firstIndex(of: true) == 511)
      try cpu.end()
    }
  }

  @Test("the copies of different CPUs and of the two kinds share no cache line")
  func copies() throws {
    #expect(CPUSlot.stride % cacheLineStride == 0)
    #expect(CPUSlot.copyBytes % cacheLineStride == 0)
    #expect(Limits.keyWords * 8 + KeyTable.groups * 8 == CPUSlot.copyBytes)
  }

  @Test("a coordinator has one set of keys")
  func once() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    #expect {
      _ = try StaticKeys(coordinator)
    } throws: { ($0 as? IsolationError)?.code == .tooManyStaticKeys }
    withExtendedLifetime(keys) {}
  }

  @Test("keys that could not be made for want of a work type can be made later")
  func again() throws {
    let coordinator = try Coordinator(.scripted())
    var works: [WorkType] = []
    while let work = try? coordinator.register("\(works.count)", { _ in }) {
      works.append(work)
    }
    let error = #expect(throws: IsolationError.self) { try StaticKeys(coordinator) }
    #expect(error?.code == .tooManyWorkTypes)
    for work in works.suffix(2) { try coordinator.unregister(work) }
    let keys = try StaticKeys(coordinator)
    #expect(try keys.makeKey("key", isEnabled: true, neverDeferred: true).isNeverDeferred)
  }

  @Test("a closed coordinator's keys are changed no more")
  func closed() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key", isEnabled: true)
    coordinator.close()
    #expect(throws: IsolationError.self) { try keys.disable(key) }
    #expect(keys.isEnabled(key) && keys.count(of: key) == 1)
    // It has users: one more needs nobody.
    #expect(try keys.enable(key) == .counted)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Static calls")
struct StaticCallTests {
  private static let double: StaticCall.Function = { _, x in 2 * x }
  private static let addContext: StaticCall.Function = { context, x in
    unsafe x + context!.load(as: Int.self)
  }

  @Test("a function is exchanged at entry, with its context")
  func exchange() throws {
    let number = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    unsafe number.initialize(to: 40)
    defer { unsafe number.deallocate() }
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let call = try unsafe keys.makeCall("call", Self.double)
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    #expect(try cpu.run { call(21, on: $0) } == 42)
    #expect(try unsafe keys.update(call, to: number, Self.addContext) == .exchanged)
    #expect(try cpu.run { call(3, on: $0) } == 6)
    try cpu.enterKernel()
    #expect(try cpu.run { call(3, on: $0) } == 43)
    #expect(try cpu.run { call(3, on: $0.handle) } == 43)
    try cpu.end()
  }

  @Test("no function does nothing and returns 0; the same one again tells nobody")
  func nothing() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let call = try unsafe keys.makeCall("call")
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let roundTrip = {
      try cpu.enterKernel()
      try cpu.enterUser()
    }
    // The order of the kernel's own test: none, one, another.
    #expect(try cpu.run { call(3, on: $0) } == 0)
    #expect(unsafe try keys.update(call, to: nil, Self.double) == .exchanged)
    try roundTrip()
    #expect(try cpu.run { call(3, on: $0) } == 6)
    let sent = coordinator.statistics()[keys.deferred.work].sent
    #expect(try unsafe keys.update(call, to: nil, Self.double) == .unchanged)
    #expect(coordinator.statistics()[keys.deferred.work].sent == sent)
    #expect(try unsafe keys.update(call, to: nil, nil) == .exchanged)
    try roundTrip()
    #expect(try cpu.run { call(3, on: $0) } == 0)
    try cpu.end()
  }

  @Test("keys and calls are changed together")
  func batch() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let key = try keys.makeKey("key")
    let calls = try (0..<5).map { try unsafe keys.makeCall("\($0)") }
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let report = try keys.update { changes in
      changes.enable(key)
      for call in calls {
        unsafe changes.exchange(call, to: nil, Self.addContext)
        unsafe changes.exchange(call, to: nil, Self.double)
      }
    }
    #expect(report.flipped == [key] && report.exchanged == Set(calls))
    #expect(coordinator.statistics()[keys.deferred.work].pending == 1)
    try cpu.enterKernel()
    #expect(try cpu.run { cpu in calls.map { $0(1, on: cpu) } } == [2, 2, 2, 2, 2])
    try cpu.end()
  }

  @Test("executed is waited for where it is asked for")
  func executed() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let call = try unsafe keys.makeCall("call")
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.enterUser()
    let change = PlainThread.start {
      try? unsafe keys.update(call, to: nil, Self.double, until: .executed)
    }
    #expect(eventually { coordinator.statistics()[keys.deferred.work].pending == 1 })
    #expect(!change.isOver)
    try cpu.enterKernel()
    #expect(try change.value() == .exchanged)
    try cpu.end()
  }

  @Test("a coordinator that is closed meanwhile lets the change go, which says so")
  func closedMeanwhile() throws {
    let coordinator = try Coordinator(.scripted())
    let keys = try StaticKeys(coordinator)
    let call = try unsafe keys.makeCall("call", Self.double)
    let cpu = try ScriptedThread(coordinator, on: 1)
    let change = PlainThread.start { () -> IsolationError.Code? in
      do throws(IsolationError) {
        try unsafe keys.update(call, to: nil, nil)
        return nil
      } catch {
        return error.code
      }
    }
    #expect(eventually { coordinator.statistics()[keys.deferred.work].pending == 1 })
    coordinator.close(timeout: .zero)
    #expect(try change.value() == .closed)
    // It still calls what it called: whoever took the change for made would free that.
    #expect(try cpu.run { call(21, on: $0) } == 42)
    try cpu.end()
  }
}

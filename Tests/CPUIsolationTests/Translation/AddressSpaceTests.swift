// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("AddressSpace")
struct AddressSpaceTests {
  let coordinator: Coordinator
  let space: AddressSpace
  let cpu: TranslatingThread

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    var options = AddressSpace.Options(pages: 1 << 20)
    options.loggedRanges = 8
    space = try AddressSpace(coordinator, options)
    cpu = try TranslatingThread(coordinator, on: 1, space)
  }

  private func end() throws {
    try cpu.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  @Test("where only one of its work types is to be had, an address space leaves it there")
  func oneTypeLeft() throws {
    // In kernel it would hold up the type's way back.
    try cpu.cpu.enterUser()
    // Two belong to the space of this suite.
    for index in 3..<WorkType.capacity {
      _ = try coordinator.register("filler \(index)") { _ in }
    }
    for _ in 1...3 {
      let error = #expect(throws: IsolationError.self) {
        _ = try AddressSpace(coordinator, .init(pages: 1 << 20))
      }
      #expect(error?.code == .tooManyWorkTypes)
    }
    _ = try coordinator.register("the last one") { _ in }
    try cpu.cpu.enterKernel()
    try end()
  }

  @Test("a lookup finds what is mapped, from the table once and from the cache after that")
  func lookUp() throws {
    #expect(try cpu.lookUp(7) == nil)
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    #expect(try cpu.lookUp(7) == 70)
    #expect(space.statistics(of: 1).fills == 1)
    #expect(try space.map(512, to: 9000, size: .large) == .mapped)
    #expect(try cpu.lookUp(600) == 9088)
    #expect(try space.map(7, to: 71) == .occupied(frame: 70))
    try end()
  }

  @Test("a change is deferred for a CPU in user, which sees it after its next entry")
  func changeLags() throws {
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    try cpu.cpu.enterUser()
    let change = try #require(space.change(7, to: 71))
    #expect(change.previous == 70)
    #expect(change.report[.deferred] == [1])
    #expect(space.table.frame(of: 7) == 71)
    #expect(space.statistics(of: 1).partialFlushes == 0)
    try cpu.cpu.enterKernel()
    #expect(try cpu.lookUp(7) == 71)
    #expect(space.statistics(of: 1).partialFlushes == 1)
    #expect(space.statistics(of: 1).droppedPages == 1)
    try end()
  }

  @Test("a change is queued for a CPU in kernel, whose section goes on with what it has")
  func changeIsQueued() throws {
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    let change = try #require(space.change(7, to: 71))
    #expect(change.report[.queued] == [1])
    // The contract: stable until the next safe point.
    #expect(try cpu.lookUp(7) == 70)
    try cpu.cpu.safePoint()
    #expect(try cpu.lookUp(7) == 71)
    #expect(space.change(8, to: 1) == nil)
    try end()
  }

  @Test("a CPU that has nothing open is not sent a change, and finds it when it opens")
  func notOpen() throws {
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    try cpu.close()
    let change = try #require(space.change(7, to: 71))
    #expect(change.report[.skipped] == coordinator.cpus)
    try cpu.open(space)
    #expect(try cpu.lookUp(7) == 71)
    try end()
  }

  @Test("flush_tlb_all drops everything, and its ticket says when")
  func flushAll() throws {
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    let ticket = space.flushAll()
    #expect(ticket.unsettled(.executed) == [1])
    try cpu.cpu.safePoint()
    #expect(ticket.wait(until: .executed) == .settled)
    #expect(space.statistics(of: 1).fullFlushes == 1)
    #expect(try cpu.lookUp(7) == 70)
    #expect(space.statistics(of: 1).fills == 2)
    try end()
  }

  @Test("flushes that were sent apart are served together, each page once", arguments: [3, 8, 9])
  func coalesced(changes: Int) throws {
    for page in 0..<20 as Range<UInt64> {
      #expect(try space.map(page, to: page + 100) == .mapped)
      #expect(try cpu.lookUp(page) == page + 100)
    }
    try cpu.cpu.enterUser()
    for page in 0..<UInt64(changes) {
      let change = try #require(space.change(page, to: page + 200))
      #expect(page == 0 ? change.report[.deferred] == [1] : change.report[.merged] == [1])
    }
    space.flushAll()
    try cpu.cpu.enterKernel()
    let counts = space.statistics(of: 1)
    // The flush of everything runs first, and covers the ranges.
    #expect(counts.fullFlushes == 1 && counts.coveredFlushes == 1 && counts.partialFlushes == 0)
    #expect(counts.generation == UInt64(changes) + 1)
    for page in 0..<20 as Range<UInt64> {
      #expect(try cpu.lookUp(page) == page + (page < UInt64(changes) ? 200 : 100))
    }
    coordinator.expectBalance(of: space.flushRangeWork)
    coordinator.expectBalance(of: space.flushAllWork)
    try end()
  }

  @Test("the work types have the kernel's names, and record tlb_flush when they run")
  func traced() throws {
    try coordinator.tracer.start(.tlbFlush)
    #expect(try space.map(7, to: 70) == .mapped)
    #expect(try cpu.lookUp(7) == 70)
    try cpu.cpu.enterUser()
    space.change(7, to: 71)
    try cpu.cpu.enterKernel()
    space.flushAll()
    try cpu.cpu.safePoint()
    let events = coordinator.tracer.snapshot().rings.flatMap(\.events)
    // The common word, then cpu, start, end, generation.
    let fields = events.map { event in (1..<5).map { Self.word($0, of: event.payload) } }
    #expect(fields == [[1, 7, 8, 1], [1, 0, .max, 2]])
    try end()
  }

  private static func word(_ index: Int, of payload: [UInt8]) -> UInt64 {
    var word: UInt64 = 0
    for byte in payload[index * 8..<index * 8 + 8].reversed() { word = word << 8 | UInt64(byte) }
    return word
  }

  @Test(
    "either delivery brings a change to the next entry, and a frame back after it",
    arguments: [WorkType.Delivery.bit, .catchUp])
  func deliveries(delivery: WorkType.Delivery) throws {
    var options = AddressSpace.Options(pages: 64)
    options.delivery = delivery
    let other = try AddressSpace(coordinator, options)
    let second = try TranslatingThread(coordinator, on: 2, other)
    #expect(try other.map(7, to: 70) == .mapped)
    #expect(try second.lookUp(7) == 70)
    try second.cpu.enterUser()
    #expect(other.change(7, to: 71)?.report[.deferred].contains(2) == true)
    try second.cpu.enterKernel()
    #expect(try second.lookUp(7) == 71)
    var frames: [UInt64] = []
    var old = other.unmap(7..<8)
    let isEarly = old.poll { frames.append($1) }
    #expect(!isEarly && frames == [])
    try second.cpu.enterUser()
    // CPU 1 has nothing open here, but is asked too.
    try cpu.cpu.safePoint()
    let isOver = old.poll { frames.append($1) }
    #expect(isOver && frames == [71])
    try second.cpu.enterKernel()
    #expect(try second.lookUp(7) == nil)
    try second.end()
    try end()
    #expect(other.close(timeout: .seconds(30)) == .settled)
  }

  @Test("closing ends the work types, and the coordinator outlives the space")
  func closes() throws {
    // A CPU that stays in kernel holds it up, and it can be repeated.
    try cpu.close()
    #expect(space.close(timeout: .zero) == .timedOut([1]))
    try cpu.cpu.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
    #expect(space.close() == .settled)
    #expect(coordinator.send(space.flushAllWork, to: 1) == .rejected(.unregistered))
  }

  @Test("options that make no sense are refused by the environment or by the page table")
  func refused() throws {
    var options = AddressSpace.Options(pages: 1 << 30)
    options.tableMemory = 4096
    let small = try AddressSpace(coordinator, options)
    let error = #expect(throws: IsolationError.self) { try small.map(0, to: 1) }
    #expect(error?.code == .outOfMemory)
    try end()
    #expect(small.close(timeout: .seconds(30)) == .settled)
  }
}

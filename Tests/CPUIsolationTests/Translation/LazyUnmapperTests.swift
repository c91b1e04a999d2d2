// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("LazyUnmapper")
struct LazyUnmapperTests {
  let coordinator: Coordinator
  let space: AddressSpace
  let cpu: TranslatingThread
  let released = Guarded<[UInt64]>([])

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 1))
    space = try AddressSpace(coordinator, AddressSpace.Options(pages: 4096))
    cpu = try TranslatingThread(coordinator, on: 1, space)
  }

  private func unmapper(pages: Range<UInt64> = 0..<64, maximumPending: Int? = nil)
    -> AddressSpace.LazyUnmapper
  {
    AddressSpace.LazyUnmapper(space, pages: pages, maximumPending: maximumPending) {
      [released] _, frame in
      released.withLock { $0.append(frame) }
    }
  }

  private func map(_ pages: Range<UInt64>, to frame: UInt64) throws {
    for (offset, page) in pages.enumerated() {
      #expect(try space.map(page, to: frame + UInt64(offset)) == .mapped)
    }
  }

  private func end() throws {
    try cpu.end()
    #expect(space.close(timeout: .seconds(30)) == .settled)
  }

  private var frames: [UInt64] { released.withLock { $0.sorted() } }

  @Test("unmapping waits for the batch, the batch for every CPU")
  func batches() throws {
    let unmapper = unmapper(maximumPending: 8)
    let first = try #require(unmapper.reserve(4))
    let second = try #require(unmapper.reserve(4))
    #expect(first == 0..<4 && second == 4..<8)
    try map(first, to: 100)
    try map(second, to: 200)
    for page in 0..<8 as Range<UInt64> { _ = try cpu.lookUp(page) }
    #expect(unmapper.unmap(first) == .batched)
    #expect(space.table.frame(of: 0) == nil)
    #expect(coordinator.statistics()[space.flushRangeWork].sent == 0)
    #expect(unmapper.unmap(second) == .flushed)
    #expect(coordinator.statistics()[space.flushRangeWork, on: 1].sent == 1)
    // In kernel with what it has: nothing comes back.
    #expect(!unmapper.poll())
    #expect(try cpu.lookUp(0) == 100)
    #expect(frames == [] && unmapper.pendingPages == 8)
    #expect(unmapper.reserve(57) == nil)
    try cpu.cpu.safePoint()
    #expect(unmapper.poll())
    #expect(frames == [100, 101, 102, 103, 200, 201, 202, 203])
    #expect(unmapper.pendingPages == 0)
    #expect(unmapper.reserve(64) == 0..<64)
    try end()
  }

  @Test(
    "a range is not handed out before a CPU that is away has it pending", arguments: [1, 40, 64])
  func notHandedOut(count: UInt64) throws {
    let unmapper = unmapper(maximumPending: 1000)
    let pages = try #require(unmapper.reserve(count))
    if count < 64 { _ = unmapper.reserve(64 - count) }
    try map(pages, to: 100)
    #expect(try cpu.lookUp(0) == 100)
    try cpu.cpu.enterUser()
    #expect(unmapper.unmap(pages) == .batched)
    // Not flushed: the CPU would come back with what it has.
    #expect(unmapper.reserve(count) == nil)
    #expect(unmapper.purge(timeout: .seconds(20)) == .settled)
    let again = try #require(unmapper.reserve(count))
    #expect(again == pages)
    try map(again, to: 500)
    try cpu.cpu.enterKernel()
    #expect(try cpu.lookUp(0) == 500)
    #expect(frames.count == Int(count))
    try end()
  }

  @Test("two batches are the bound, and then it is full")
  func full() throws {
    let unmapper = unmapper(maximumPending: 4)
    var ranges: [Range<UInt64>] = []
    for _ in 0..<8 { ranges.append(try #require(unmapper.reserve(2))) }
    for range in ranges { try map(range, to: range.lowerBound + 1000) }
    let outcomes = ranges.prefix(5).map { unmapper.unmap($0) }
    #expect(outcomes == [.batched, .flushed, .batched, .batched, .full])
    #expect(space.table.frame(of: ranges[4].lowerBound) == ranges[4].lowerBound + 1000)
    #expect(unmapper.pendingPages == 8)
    if case .timedOut(let cpus) = unmapper.purge(timeout: .milliseconds(10)) {
      #expect(cpus == [1])
    } else {
      Issue.record("a CPU in kernel was not waited for")
    }
    try cpu.cpu.safePoint()
    #expect(unmapper.unmap(ranges[4]) == .batched)
    #expect(frames.count == 4)
    try cpu.cpu.enterUser()
    #expect(unmapper.purge(timeout: .seconds(20)) == .settled)
    #expect(frames.count == 10)
    try cpu.cpu.enterKernel()
    try end()
  }

  @Test("ranges are joined again, in whatever order they come back")
  func joined() throws {
    let unmapper = unmapper(maximumPending: 100)
    var ranges: [Range<UInt64>] = []
    for _ in 0..<8 { ranges.append(try #require(unmapper.reserve(8))) }
    #expect(unmapper.reserve(1) == nil)
    try cpu.cpu.enterUser()
    for index in [3, 0, 7, 5, 1, 6, 2, 4] {
      #expect(unmapper.unmap(ranges[index]) == .batched)
      if index % 2 == 1 { #expect(unmapper.purge(timeout: .seconds(20)) == .settled) }
    }
    #expect(unmapper.purge(timeout: .seconds(20)) == .settled)
    #expect(unmapper.reserve(64) == 0..<64)
    try cpu.cpu.enterKernel()
    try end()
  }
}

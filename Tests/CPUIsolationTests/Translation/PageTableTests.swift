// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("PageTable")
struct PageTableTests {
  private func map(
    _ table: AddressSpace.PageTable, _ page: UInt64, _ frame: UInt64,
    _ size: AddressSpace.PageSize = .base
  ) throws -> AddressSpace.PageTable.MapOutcome {
    try table.map(page, to: PageWord(frame: frame, neverDeferred: false), size)
  }

  /// Takes the mappings of a range away at once, as if every CPU had dropped them.
  private func remove(_ table: AddressSpace.PageTable, _ pages: Range<UInt64>) {
    table.asWriter {
      table.forEachEntry(in: pages) { _, _, _, entry in
        PageTableNodes.write(.nothing, to: entry)
      }
    }
  }

  @Test("the word keeps what is put into it")
  func word() {
    let word = PageWord(frame: 0x1234, neverDeferred: true)
    #expect(word.isPresent && word.isNeverDeferred && !word.isRetiring && word.frame == 0x1234)
    let retired = word.retired
    #expect(!retired.isPresent && retired.isRetiring && retired.frame == 0x1234)
    #expect(word.changed(to: 9).frame == 9 && word.changed(to: 9).isNeverDeferred)
    #expect(PageWord(frame: PageWord.maximumFrame, neverDeferred: false).frame == .max >> 3)
    #expect(PageWord.nothing.isNothing && !PageWord.nothing.isPresent)
  }

  @Test(
    "the borders of every level", arguments: [1, 512, 513, 1 << 18, 1 << 27, 1 << 36] as [UInt64])
  func borders(pages: UInt64) throws {
    let table = try AddressSpace.PageTable(pages: pages)
    let last = table.nodes.span - 1
    #expect(last >= pages - 1)
    for page in Set([0, 1, last / 2, last - 1, last]) where page <= last {
      #expect(table.frame(of: page) == nil)
      #expect(try map(table, page, page + 5) == .done)
      #expect(table.frame(of: page) == page + 5)
    }
    #expect(table.frame(of: last + 1) == nil)
    #expect(table.frame(of: .max) == nil)
  }

  @Test("a larger page gives its frames in order, and stands in nobody's way")
  func sizes() throws {
    let table = try AddressSpace.PageTable(pages: 1 << 27)
    #expect(try map(table, 512, 10_000, .large) == .done)
    #expect(table.frame(of: 511) == nil)
    #expect(table.frame(of: 512) == 10_000)
    #expect(table.frame(of: 1023) == 10_511)
    #expect(table.frame(of: 1024) == nil)
    #expect(try map(table, 1 << 18, 1 << 20, .huge) == .done)
    // Both typed: the comparison would go by way of AnyHashable.
    let (page, frame) = ((1 << 18) + 99_999 as UInt64, (1 << 20) + 99_999 as UInt64)
    #expect(table.frame(of: page) == frame)
    #expect(try map(table, 700, 1) == .mapped(10_000))
    #expect(try map(table, 512, 1, .large) == .mapped(10_000))
    #expect(try map(table, 0, 1, .huge) == .mapped(10_000))
    #expect(try map(table, 1 << 18 + 512, 1, .large) == .mapped(1 << 20))
  }

  @Test("a larger page takes the place of small ones without a node being freed")
  func nodesStay() throws {
    let table = try AddressSpace.PageTable(pages: 1 << 27)
    #expect(try map(table, 5, 50) == .done)
    let memory = table.memoryInUse
    #expect(try map(table, 0, 1, .large) == .mapped(50))
    remove(table, 0..<512)
    #expect(try map(table, 0, 1000, .large) == .done)
    #expect(table.frame(of: 5) == 1005)
    remove(table, 0..<512)
    #expect(try map(table, 5, 51) == .done)
    #expect(table.frame(of: 5) == 51)
    #expect(table.frame(of: 6) == nil)
    #expect(table.memoryInUse == memory)
  }

  @Test("nodes take what was allowed, and no more")
  func limit() throws {
    // A root of 8 KiB and three lowest nodes.
    let table = try AddressSpace.PageTable(pages: 1 << 18, memory: 8192 + 3 * 4096)
    for node in 0..<3 as Range<UInt64> { #expect(try map(table, node * 512, 1) == .done) }
    let error = #expect(throws: IsolationError.self) { try map(table, 3 * 512, 1) }
    #expect(error?.code == .outOfMemory)
    #expect(table.memoryInUse == 8192 + 3 * 4096)
    #expect(try map(table, 1, 2) == .done)
    #expect(table.frame(of: 3 * 512) == nil)
    // More than one arena.
    let large = try AddressSpace.PageTable(pages: 1 << 27)
    for node in 0..<600 as Range<UInt64> { #expect(try map(large, node * 512, node) == .done) }
    for node in 0..<600 as Range<UInt64> { #expect(large.frame(of: node * 512) == node) }
  }

  @Test("the table says what a dictionary says", arguments: [1, 2, 3] as [UInt64])
  func againstDictionary(seed: UInt64) throws {
    var state = seed
    func random(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    let table = try AddressSpace.PageTable(pages: 1 << 20)
    var model: [UInt64: UInt64] = [:]
    for step in 0..<4000 as Range<UInt64> {
      let isLarge = random(8) == 0
      let size: AddressSpace.PageSize = isLarge ? .large : .base
      let page = isLarge ? random(16) * 512 : random(16 * 512)
      let pages = page..<page + size.pages
      if random(3) == 0 {
        // Whole pages alone: what is mapped round the range goes with it.
        var gone: [Range<UInt64>] = []
        table.asWriter {
          table.forEachEntry(in: pages) { page, size, _, entry in
            gone.append(page..<page + size.pages)
            PageTableNodes.write(.nothing, to: entry)
          }
        }
        for range in gone { for page in range { model[page] = nil } }
      } else {
        let isFree = pages.allSatisfy { model[$0] == nil }
        let outcome = try map(table, page, step * 1000, size)
        #expect((outcome == .done) == isFree, "step \(step)")
        if isFree {
          for (offset, page) in pages.enumerated() { model[page] = step * 1000 + UInt64(offset) }
        }
      }
      let probe = random(16 * 512)
      #expect(table.frame(of: probe) == model[probe], "step \(step), page \(probe)")
    }
    #expect(!model.isEmpty)
    for page in 0..<16 * 512 as Range<UInt64> where table.frame(of: page) != model[page] {
      Issue.record("page \(page)")
    }
  }
}

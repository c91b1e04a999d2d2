// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("TranslationCache")
struct TranslationCacheTests {
  let log: FlushLog

  init() throws { log = try FlushLog(ranges: 8) }

  private func cache(_ entries: Int = 64) throws -> TranslationCache<UInt64, UInt64> {
    try TranslationCache(entries: entries, of: log)
  }

  @Test("what was put in is found, and nothing else")
  func finds() throws {
    let cache = try cache()
    for page in 0..<16 as Range<UInt64> { cache.insert(page * 10, for: page) }
    for page in 0..<16 as Range<UInt64> { #expect(cache.lookUp(page) == page * 10) }
    #expect(cache.lookUp(16) == nil)
    cache.insert(7, for: 3)
    #expect(cache.lookUp(3) == 7)
    cache.removeAll()
    for page in 0..<16 as Range<UInt64> { #expect(cache.lookUp(page) == nil) }
  }

  @Test("the number that stands for nothing is never cached")
  func lastNumber() throws {
    let cache = try cache()
    #expect(cache.lookUp(.max) == nil)
    cache.insert(1, for: .max)
    #expect(cache.lookUp(.max) == nil)
    cache.insert(2, for: .max - 1)
    cache.insert(3, for: 0)
    #expect(cache.lookUp(.max - 1) == 2)
    #expect(cache.lookUp(0) == 3)
  }

  @Test("a full cache forgets, and is never wrong", arguments: [1, 8, 64, 1000])
  func forgets(entries: Int) throws {
    let cache = try cache(entries)
    var found = 0
    for page in 0..<10_000 as Range<UInt64> {
      cache.insert(page ^ 0xabcd, for: page)
      #expect(cache.lookUp(page) == page ^ 0xabcd)
    }
    for page in 0..<10_000 as Range<UInt64> {
      guard let value = cache.lookUp(page) else { continue }
      found += 1
      #expect(value == page ^ 0xabcd)
    }
    #expect(found > 0 && found <= max(8, entries.roundedUpToPowerOfTwo))
  }

  @Test("a flush that nobody was there for is caught up with by the next thread")
  func nextThread() throws {
    let coordinator = try Coordinator(.scripted())
    let cache = try cache()
    let flush = try coordinator.register("flush") { _ in }
    try coordinator.attach(to: 1).detach()
    cache.insert(70, for: 7)
    cache.insert(80, for: 8)
    log.append(7..<8)
    let ticket = coordinator.sendWithTicket(flush, to: [1])
    #expect(ticket.wait(until: .covered) == .settled && ticket.state(of: 1) == .gone)
    let cpu = try coordinator.attach(to: 1)
    cpu.safePoint()
    // No handler has run: the entry would still be found.
    #expect(cache.lookUp(7) == 70)
    #expect(cache.catchUp(with: log) == .partial(pages: 1))
    #expect(cache.lookUp(7) == nil && cache.lookUp(8) == 80)
    cpu.detach()
  }

  struct Route: TranslationKey {
    var prefix: UInt32
    var pageNumber: UInt64 { UInt64(prefix) }
  }

  struct Hop: BitwiseCopyable, Equatable {
    var address: SIMD4<UInt32>
    var port: UInt16
  }

  @Test("keys and values are whatever is trivial")
  func otherTypes() throws {
    let cache = try TranslationCache<Route, Hop>(entries: 128, of: log)
    for prefix in 0..<100 as Range<UInt32> {
      cache.insert(
        Hop(address: .init(repeating: prefix), port: UInt16(prefix)), for: Route(prefix: prefix))
    }
    for prefix in 0..<100 as Range<UInt32> {
      let hop = cache.lookUp(Route(prefix: prefix))
      if let hop { #expect(hop == Hop(address: .init(repeating: prefix), port: UInt16(prefix))) }
    }
    #expect(cache.lookUp(Route(prefix: 99)) != nil)
    log.append(99..<100)
    #expect(cache.catchUp(with: log) == .partial(pages: 1))
    #expect(cache.lookUp(Route(prefix: 99)) == nil)
    let narrow = try TranslationCache<UInt64, UInt8>(entries: 16, of: log)
    narrow.insert(200, for: 1)
    #expect(narrow.lookUp(1) == 200)
  }

  // MARK: Catching up

  private func filled(_ pages: Range<UInt64>) throws -> TranslationCache<UInt64, UInt64> {
    let cache = try cache(4096)
    for page in pages { cache.insert(page, for: page) }
    return cache
  }

  @Test("a flush drops its pages and leaves the others")
  func partial() throws {
    let cache = try filled(0..<100)
    log.append(10..<20)
    log.append(50..<51)
    #expect(cache.catchUp(with: log) == .partial(pages: 11))
    for page in 0..<100 as Range<UInt64> {
      let isDropped = (10..<20).contains(page) || page == 50
      #expect((cache.lookUp(page) == nil) == isDropped, "page \(page)")
    }
    #expect(cache.catchUp(with: log) == .covered)
  }

  @Test("the ceiling decides, over all ranges together", arguments: [0, 1, 33, 100])
  func ceiling(_ ceiling: Int) throws {
    for (first, second) in [(ceiling, 0), (ceiling / 2, ceiling - ceiling / 2)] {
      let cache = try filled(0..<300)
      log.append(0..<UInt64(first))
      log.append(100..<100 + UInt64(second))
      #expect(cache.catchUp(with: log, ceiling: ceiling) == .partial(pages: ceiling))
      #expect(cache.lookUp(299) == 299)
      log.append(0..<UInt64(first))
      log.append(100..<100 + UInt64(second) + 1)
      #expect(cache.catchUp(with: log, ceiling: ceiling) == .full)
      #expect(cache.lookUp(299) == nil)
    }
  }

  @Test("a gap beyond the ring is everything")
  func gapBeyondRing() throws {
    let cache = try filled(0..<100)
    for _ in 0..<8 { log.append(1..<2) }
    #expect(cache.catchUp(with: log) == .partial(pages: 8))
    #expect(cache.lookUp(50) == 50)
    for page in 0..<9 as Range<UInt64> { log.append(page + 1..<page + 2) }
    #expect(cache.catchUp(with: log) == .full)
    #expect(cache.lookUp(50) == nil)
    #expect(cache.catchUp(with: log) == .covered)
  }

  @Test("a flush of everything is everything, whatever the ceiling")
  func everything() throws {
    let cache = try filled(0..<100)
    log.appendAll()
    #expect(cache.catchUp(with: log, ceiling: .max) == .full)
    #expect(cache.lookUp(1) == nil)
  }

  @Test("flushes that arrive out of order lose no page: 1, all of 3, the range of 2")
  func outOfOrder() throws {
    let cache = try filled(0..<100)
    log.append(1..<2)
    #expect(cache.catchUp(with: log) == .partial(pages: 1))
    // Generations 2 and 3 exist when the first of their flushes is served: that of 3, for everything.
    log.append(20..<22)
    log.append(30..<32)
    #expect(cache.catchUp(with: log, ceiling: 0) == .full)
    for page in 20..<32 as Range<UInt64> { #expect(cache.lookUp(page) == nil) }
    // What is looked up now is of generation 3. The range of 2 comes late, and takes nothing back.
    for page in 20..<32 as Range<UInt64> { cache.insert(page, for: page) }
    #expect(cache.catchUp(with: log) == .covered)
    #expect(cache.lookUp(21) == 21)
    #expect(log.generation == 3)
  }

  @Test("a range that is served when a later one is known drops both")
  func partialAfterLater() throws {
    let cache = try filled(0..<100)
    log.append(20..<22)
    log.append(30..<32)
    // The flush of the first arrives; had it dropped its own range alone and taken over the later
    // generation, pages 30 and 31 would be lost.
    #expect(cache.catchUp(with: log) == .partial(pages: 4))
    #expect(cache.lookUp(30) == nil && cache.lookUp(21) == nil)
    #expect(cache.catchUp(with: log) == .covered)
  }

  @Test("a late joiner begins at the generation, and has nothing to catch up with")
  func lateJoiner() throws {
    for _ in 0..<20 { log.append(0..<1) }
    let cache = try cache()
    cache.insert(1, for: 1)
    #expect(cache.catchUp(with: log) == .covered)
    #expect(cache.lookUp(1) == 1)
  }

  @Test("a lazy CPU is not told, and leaves with what is pending", arguments: [1, 8, 9])
  func lazy(flushes: Int) throws {
    let cache = try filled(0..<100)
    let before = cache.isUsed
    cache.beginLazy()
    let between = cache.isUsed
    #expect(before && !between)
    for _ in 0..<flushes { log.append(7..<8) }
    #expect(cache.lookUp(7) == 7)
    let extent = cache.endLazy(log.ring, ceiling: FlushLog.standardCeiling)
    #expect(extent == (flushes <= 8 ? .partial(pages: flushes) : .full))
    let later = cache.isUsed
    #expect(later)
    #expect(cache.lookUp(7) == nil)
    #expect((cache.lookUp(8) == 8) == (flushes <= 8))
  }

  @Test("a reader beside a writer gets whole ranges, or none")
  func concurrentReader() throws {
    let log = try FlushLog(ranges: 2)
    let stop = Flag()
    let writer = PlainThread.start {
      var round: UInt64 = 0
      while !stop.isRaised {
        round += 1
        log.append(round * 1000..<round * 1001)
      }
      return round
    }
    var whole = 0
    for _ in 0..<100_000 {
      let generation = log.generation
      guard generation > 0, let pages = log.ring.pages(ofGeneration: generation) else {
        Flag.pause()
        continue
      }
      whole += 1
      if pages.first != generation * 1000 || pages.end != generation * 1001 {
        Issue.record("generation \(generation) has the pages \(pages)")
        break
      }
    }
    stop.raise()
    let last = try writer.value()
    #expect(log.generation == last)
    #expect(whole > 0 && last > 2)
    let pages = try #require(log.ring.pages(ofGeneration: last))
    #expect(pages == (last * 1000, last * 1001))
    #expect(log.ring.pages(ofGeneration: last - 2) == nil)
    withExtendedLifetime(log) {}
  }
}

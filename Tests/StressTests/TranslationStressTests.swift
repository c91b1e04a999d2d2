// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Housekeepers unmap, poison and reuse frames while isolated CPUs read them through their caches.
  @Suite struct Translations {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var readers = 1
      var writers = 1
      var pages = 64
      var isLazy = false
      var changesHands = false
      var isBatched = false
      var interrupter = Interrupter.poll
      var delivery = WorkType.Delivery.bit
      var testDescription: String {
        "seed \(seed): \(readers) readers, \(writers) writers, \(pages) pages, \(interrupter), \(delivery)"
          + (isLazy ? ", lazy" : "") + (changesHands ? ", threads come and go" : "")
          + (isBatched ? ", unmapped in batches" : "")
      }
    }

    @Test(arguments: [
      Case(seed: 61),
      Case(seed: 62, readers: 2, writers: 2),
      Case(seed: 63, readers: 2, pages: 2000),
      Case(seed: 64, readers: 2, writers: 2, isLazy: true),
      Case(seed: 65, readers: 2, changesHands: true),
      Case(seed: 66, readers: 2, writers: 2, isBatched: true),
      Case(seed: 67, readers: 2, interrupter: .signal),
      Case(seed: 68, readers: 2, writers: 2, delivery: .catchUp),
      Case(seed: 69, readers: 2, isLazy: true, changesHands: true, delivery: .catchUp),
      Case(seed: 70, readers: 2, isBatched: true, interrupter: .signal, delivery: .catchUp),
    ])
    func noFrameIsStale(_ test: Case) throws {
      try TranslationExperiment(test).run()
    }
  }
}

/// Frames that carry the page they are mapped at, and poison while they are free.
// Sendable: every word is atomic; the order comes from what is tested, so these are relaxed.
@safe
private final class StampedFrames: @unchecked Sendable {
  private static let poison = UInt64.max
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  let count: Int

  init(count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: 2 * count)
    for word in 0..<2 * count { unsafe (words + word).initialize(to: Atomic(Self.poison)) }
  }

  deinit { unsafe words.deallocate() }

  func stamp(_ frame: UInt64, page: UInt64) {
    unsafe words[2 * Int(frame)].store(page, ordering: .relaxed)
    unsafe words[2 * Int(frame) + 1].store(page, ordering: .relaxed)
  }

  func poison(_ frame: UInt64) { stamp(frame, page: Self.poison) }

  /// Whether the frame is the page's from the beginning of `body` to its end.
  func belongs(_ frame: UInt64, to page: UInt64, during body: () -> Void) -> Bool {
    guard unsafe words[2 * Int(frame)].load(ordering: .relaxed) == page else { return false }
    body()
    return unsafe words[2 * Int(frame) + 1].load(ordering: .relaxed) == page
  }
}

private final class TranslationExperiment: Sendable {
  private let test: StressTests.Translations.Case
  private let coordinator: Coordinator
  private let space: AddressSpace
  private let frames: StampedFrames
  private let free: [Guarded<[UInt64]>]
  private let violations = Violations()
  private let stop = SharedFlag()
  private let hits = SharedCounter()
  private let stale = SharedCounter()
  private let reuses = SharedCounter()

  init(_ test: StressTests.Translations.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<test.readers + 1))
    configuration.isolatedInterrupter = test.interrupter
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    coordinator = try Coordinator(configuration)
    var options = AddressSpace.Options(pages: UInt64(test.pages))
    options.loggedRanges = 4
    options.cacheEntries = 256
    options.flushCeiling = 5
    options.delivery = test.delivery
    space = try AddressSpace(coordinator, options)
    // Fewer frames than pages: each frame is of many pages in turn.
    let perWriter = max(4, test.pages / (2 * test.writers))
    frames = StampedFrames(count: perWriter * test.writers)
    free = (0..<test.writers).map { writer in
      Guarded((0..<perWriter).map { UInt64(writer * perWriter + $0) })
    }
  }

  func run() throws {
    let until = Until(StressDuration.ofCase(0.6))
    let readers = (0..<test.readers * (test.changesHands ? 2 : 1)).map { index in
      TestThread { [self] in
        var random = SeededGenerator(seed: test.seed, stream: index)
        while !stop.isSet { read(index % test.readers + 1, &random) }
      }
    }
    TestThread.run(test.writers) { [self] writer in
      var random = SeededGenerator(seed: test.seed, stream: 100 + writer)
      if test.isBatched {
        batch(writer, until, &random)
      } else {
        evict(writer, until, &random)
      }
    }
    stop.set()
    for reader in readers { reader.join() }
    violations.check(stale.value == 0, "\(stale.value) of \(hits.value) frames were stale")
    let flushes: UInt64 = coordinator.isolated.reduce(0) { sum, cpu in
      let counts = space.statistics(of: cpu)
      return sum &+ counts.fullFlushes &+ counts.partialFlushes
    }
    violations.check(
      hits.value > 0 && reuses.value > 0 && flushes > 0,
      "\(hits.value) hits, \(reuses.value) reuses, \(flushes) flushes: nothing was tested")
    for work in [space.flushRangeWork, space.flushAllWork] {
      let counts = coordinator.statistics()[work]
      // What is caught up with by comparison is not counted for each send.
      guard test.delivery == .bit else { continue }
      violations.check(
        counts.sent == counts.executed + counts.merged + counts.pending + counts.gone,
        "out of balance: \(counts)")
    }
    #expect(space.close(timeout: StressDuration.generous) == .settled)
    violations.expectNone(test.testDescription)
  }

  /// An isolated CPU: sections of a few lookups, safe points in between, and user.
  private func read(_ number: Int, _ random: inout SeededGenerator) {
    guard let cpu = try? coordinator.attach(to: number) else {
      sched_yield()
      return
    }
    do {
      var translations = space.open(on: cpu)
      for _ in 0..<(test.changesHands ? 5 : 500) where !stop.isSet {
        cpu.inUser {
          if random.oneIn(4) { sched_yield() }
          cpu.poll()
        }
        for _ in 0..<random.below(8) + 1 {
          lookUp(translations, cpu, &random)
          if random.oneIn(4) { cpu.safePoint() }
        }
        if test.isLazy, random.oneIn(4) {
          translations.whileLazy(on: cpu) {
            if random.oneIn(2) { sched_yield() }
            if random.oneIn(2) { cpu.safePoint() }
          }
          lookUp(translations, cpu, &random)
        }
      }
    }
    cpu.detach()
  }

  private func lookUp(
    _ translations: borrowing AddressSpace.LocalTranslations, _ cpu: borrowing LocalCPU,
    _ random: inout SeededGenerator
  ) {
    let page = UInt64(random.below(test.pages))
    guard let frame = translations.lookUp(page, on: cpu) else { return }
    let yields = random.oneIn(16)
    if !frames.belongs(frame, to: page, during: { if yields { sched_yield() } }) { stale.add() }
    hits.add()
  }

  /// The pages of a writer: no two writers map the same ones.
  private func pages(of writer: Int) -> Range<UInt64> {
    let each = UInt64(test.pages / test.writers)
    return UInt64(writer) * each..<UInt64(writer + 1) * each
  }

  private func map(_ page: UInt64, _ writer: Int) {
    guard let frame = free[writer].withLock({ $0.popLast() }) else { return }
    frames.stamp(frame, page: page)
    let outcome = try? space.map(page, to: frame)
    if outcome != .mapped {
      frames.poison(frame)
      free[writer].withLock { $0.insert(frame, at: 0) }
    }
  }

  private func evict(_ writer: Int, _ until: Until, _ random: inout SeededGenerator) {
    let pages = pages(of: writer)
    let sender = Int(pages.lowerBound)
    while !until.isOver {
      let page = UInt64(sender + random.below(pages.count))
      switch random.below(4) {
      case 0, 1: map(page, writer)
      case 2:
        // One page, or a range that is more than the ceiling.
        let end = random.oneIn(2) ? page + 1 : min(pages.upperBound, page + 12)
        var old = space.unmap(page..<end)
        release(&old, writer)
      default:
        guard let frame = free[writer].withLock({ $0.popLast() }) else { break }
        frames.stamp(frame, page: page)
        if var old = space.replace(page, with: frame) {
          release(&old, writer)
        } else {
          frames.poison(frame)
          free[writer].withLock { $0.insert(frame, at: 0) }
        }
      }
      if random.oneIn(32) { space.flushAll() }
      if random.oneIn(8) { sched_yield() }
    }
  }

  private func release(_ old: inout AddressSpace.Retirement, _ writer: Int) {
    let outcome = old.wait(timeout: StressDuration.generous) { _, frame in
      frames.poison(frame)
      reuses.add()
      free[writer].withLock { $0.append(frame) }
    }
    if outcome != .settled { violations.note("a flush was not acknowledged: \(outcome)") }
  }

  private func batch(_ writer: Int, _ until: Until, _ random: inout SeededGenerator) {
    let unmapper = AddressSpace.LazyUnmapper(space, pages: pages(of: writer), maximumPending: 8) {
      [self] _, frame in
      frames.poison(frame)
      reuses.add()
      free[writer].withLock { $0.append(frame) }
    }
    var held: [Range<UInt64>] = []
    while !until.isOver {
      if random.oneIn(2), let range = unmapper.reserve(UInt64(random.below(4) + 1)) {
        for page in range { map(page, writer) }
        held.append(range)
      } else if !held.isEmpty {
        let range = held[random.below(held.count)]
        switch unmapper.unmap(range) {
        case .full: unmapper.purge(timeout: StressDuration.generous)
        default: held.removeAll { $0 == range }
        }
      }
      if random.oneIn(8) { sched_yield() }
    }
    for range in held {
      while unmapper.unmap(range) == .full { unmapper.purge(timeout: StressDuration.generous) }
    }
    violations.check(
      unmapper.purge(timeout: StressDuration.generous) == .settled, "a batch did not come back")
  }
}

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  /// A page table of one node, a log of two ranges, and the cache of CPU 0.
  final class TranslationModel: Sendable {
    private static let nodeOffset = 0
    private static let ringOffset = PageTableNodes.lowestBytes
    private static let cacheOffset = ringOffset + 256
    private static let entries = 16
    private let memory: MappedMemory

    init() {
      memory = try! MappedMemory(
        byteCount: Self.cacheOffset + 2 * CacheTable.stride(entries: Self.entries))
    }

    /// Lays everything out anew. The first pages are mapped to the frames, and cached if they are
    /// to be.
    func prepare(
      _ machine: ModelMachine, frames: [UInt64], cached: Range<UInt64>
    ) -> TranslationCore {
      let base = memory.address
      // Of the node, the entries that the scenarios use.
      memory.clear(0..<64)
      memory.clear(Self.ringOffset..<memory.byteCount)
      let core = TranslationCore(
        nodes: PageTableNodes(root: .init(base), levels: 1),
        ring: FlushRing(initializing: base + Self.ringOffset, ranges: 2),
        coordinator: machine.core,
        caches: CacheTable(
          initializing: base + Self.cacheOffset, cpus: 2, entries: Self.entries),
        ceiling: FlushLog.standardCeiling, keeping: [])
      for (page, frame) in frames.enumerated() {
        let entry = PageTableNodes.entry(UInt64(page), in: core.nodes.root, at: 0)
        PageTableNodes.write(PageWord(frame: frame, neverDeferred: false), to: entry)
      }
      let cache = core.cache(0)
      cache.join(core.ring)
      for page in cached { cache.insert(frames[Int(page)], for: page) }
      // The generation and the counts of a cache are its owner's alone.
      let owner = cache.base.bits + 128
      machine.engine.privateRanges.append(owner..<owner + 128)
      if machine.engine.isTracing {
        machine.engine.names[core.ring.generationWord.bits] = "flushes"
        machine.engine.names[cache.base.bits] = "isUsed"
        for page in 0..<4 as Range<UInt64> {
          let entry = PageTableNodes.entry(page, in: core.nodes.root, at: 0)
          machine.engine.names[entry.bits] = "page\(page)"
        }
      }
      return core
    }
  }

  extension ModelMachine {
    /// Makes type 0 the flush of ranges.
    func registerFlush(_ core: TranslationCore) -> WorkType {
      let work = registerType()
      replaceHandler { _ in core.flushRange(0) }
      return work
    }

    /// What CPU 0 finds, from its cache or from the table.
    func lookUp(_ page: UInt64, _ core: TranslationCore) -> UInt64 {
      let cache = core.cache(0)
      if let frame = cache.lookUp(page) { return frame }
      guard let (frame, _) = core.nodes.frame(of: page) else { return 0 }
      cache.insert(frame, for: page)
      return frame
    }

    /// Maps a page to another frame, and sends; what the answer promises is noted for the page.
    func change(_ page: UInt64, to frame: UInt64, _ core: TranslationCore, _ work: WorkType) {
      data[Int(page)].store(frame, ordering: .relaxed)
      core.publish(page..<page + 1) {
        let entry = PageTableNodes.entry(page, in: core.nodes.root, at: 0)
        PageTableNodes.write(PageWord(frame: frame, neverDeferred: false), to: entry)
      }
      let outcome = path(0).deliver(work, to: 0, from: CallSite("model", 0))
      if outcome == .deferred { promised[Int(page)] = frame }
    }

    /// A section of CPU 0 that looks two pages up.
    func lookUpBoth(_ core: TranslationCore) {
      for page in 0..<2 as Range<UInt64> {
        let promise = promised[Int(page)]
        let frame = lookUp(page, core)
        expect(frame >= promise, "page \(page): promised frame \(promise), found \(frame)")
        expect(
          frame == 1 || data[Int(page)].load(ordering: .relaxed) == frame,
          "page \(page): frame \(frame) was found without what it holds")
      }
    }

    /// After an execution, and what is still pending: the cache has nothing that the table has
    /// not.
    func checkTranslations(_ core: TranslationCore) {
      let slot = self.core.slots[0]
      let word = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed))
      if word.context != .kernel {
        OwnerTransitions.enter(slot, self.core, from: word.context!)
      }
      Drain(self.core, slot).drainPending()
      Drain(self.core, slot).drainPending()
      for page in 0..<2 as Range<UInt64> {
        let cached = core.cache(0).lookUp(page)
        let mapped = core.nodes.frame(of: page)?.frame
        expect(
          cached == nil || cached == mapped,
          "at the end page \(page) is cached as \(cached ?? 0), and mapped to \(mapped ?? 0)")
      }
    }
  }

  /// What the bodies of an execution leave to its check.
  // Sendable: one execution at a time.
  private final class Found: @unchecked Sendable {
    var core: TranslationCore? = nil
    var frame: UInt64 = 0
    var isSkipped = false
  }

  extension ModelScenario {
    static let translationScenarios: [ModelScenario] = [
      flushScenario, mapScenario, lazyScenario, reuseScenario, logScenario,
    ]

    private static var flushScenario: ModelScenario {
      let model = TranslationModel()
      let found = Found()
      return ModelScenario(
        "two flushes",
        rule: "a section after a deferred flush finds the change; no flush is skipped",
        preemptions: 3,
        bodies: { machine in
          let space = model.prepare(machine, frames: [1, 1], cached: 0..<2)
          found.core = space
          let work = machine.registerFlush(space)
          machine.place(0, .user)
          return [
            {
              let slot = machine.become(0)
              for _ in 0..<2 {
                OwnerTransitions.enter(slot, machine.core, from: .user)
                machine.lookUpBoth(space)
                machine.leave(slot)
              }
            },
            {
              machine.change(0, to: 2, space, work)
              machine.change(1, to: 2, space, work)
            },
          ]
        }, check: { $0.checkTranslations(found.core!) })
    }

    private static var mapScenario: ModelScenario {
      let model = TranslationModel()
      return ModelScenario(
        "a page is mapped",
        rule: "whoever finds a mapping sees what its frame holds, with no flush in between",
        preemptions: 3,
        bodies: { machine in
          let space = model.prepare(machine, frames: [1], cached: 0..<0)
          machine.place(0, .kernel)
          return [
            {
              _ = machine.become(0)
              if machine.lookUp(1, space) == 2 {
                machine.expect(
                  machine.data[1].load(ordering: .relaxed) == 2,
                  "page 1 was found without what it holds")
              }
            },
            {
              machine.data[1].store(2, ordering: .relaxed)
              let entry = PageTableNodes.entry(1, in: space.nodes.root, at: 0)
              PageTableNodes.write(PageWord(frame: 2, neverDeferred: false), to: entry)
            },
          ]
        }, check: { _ in })
    }

    private static var lazyScenario: ModelScenario {
      let model = TranslationModel()
      let found = Found()
      return ModelScenario(
        "a lazy CPU",
        rule: "a CPU that a flusher skipped finds the change when it uses its cache again",
        preemptions: 4,
        bodies: { machine in
          let space = model.prepare(machine, frames: [1], cached: 0..<1)
          let work = machine.registerFlush(space)
          machine.place(0, .kernel)
          found.frame = 0
          found.isSkipped = false
          return [
            {
              _ = machine.become(0)
              let cache = space.cache(0)
              cache.beginLazy()
              _ = cache.endLazy(space.ring, ceiling: space.ceiling)
              found.frame = machine.lookUp(0, space)
            },
            {
              space.publish(0..<1) {
                let entry = PageTableNodes.entry(0, in: space.nodes.root, at: 0)
                PageTableNodes.write(PageWord(frame: 2, neverDeferred: false), to: entry)
              }
              if space.mustBeTold(0) {
                _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              } else {
                found.isSkipped = true
              }
            },
          ]
        },
        check: { machine in
          machine.expect(
            !found.isSkipped || found.frame == 2,
            "the flusher skipped a CPU that found frame \(found.frame)")
        })
    }

    private static var reuseScenario: ModelScenario {
      let model = TranslationModel()
      return ModelScenario(
        "a frame is reused",
        rule: "no CPU uses a frame after the acknowledgement of its flush",
        preemptions: 3,
        bodies: { machine in
          let space = model.prepare(machine, frames: [1], cached: 0..<1)
          let work = machine.registerFlush(space)
          machine.place(0, .kernel)
          let use = {
            if machine.lookUp(0, space) == 0 { return }
            machine.expect(
              machine.flags[0].load(ordering: .relaxed) == 0, "a frame was used that is free")
          }
          return [
            {
              let slot = machine.become(0)
              use()
              OwnerTransitions.safePoint(slot)
              use()
              machine.leave(slot)
              OwnerTransitions.enter(slot, machine.core, from: .user)
              use()
              machine.leave(slot)
            },
            {
              space.publish(0..<1) {
                let entry = PageTableNodes.entry(0, in: space.nodes.root, at: 0)
                let word = PageWord(frame: 1, neverDeferred: false)
                PageTableNodes.write(word.retired, to: entry)
              }
              let generation = machine.drawTicket(work)
              _ = machine.path(0).deliver(work, to: 0, from: CallSite("model", 0))
              var backoff = Backoff()
              let state = { Ticket.state(machine.core, work.type, generation, of: 0) }
              while !TranslationCore.hasDropped(state(), mayBeCovered: true) { backoff.wait() }
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }, check: { _ in })
    }

    private static var logScenario: ModelScenario {
      let model = TranslationModel()
      return ModelScenario(
        "a log that goes round",
        rule: "what a CPU reads out of the log is the range of that generation, or nothing",
        preemptions: 3,
        bodies: { machine in
          let ring = model.prepare(machine, frames: [], cached: 0..<0).ring
          return [
            {
              for flush in 1...4 as ClosedRange<UInt64> {
                ring.append(first: flush, end: flush + 10)
              }
            },
            {
              let generation = ring.currentGeneration()
              if generation == 0 { return }
              guard let pages = ring.pages(ofGeneration: generation) else { return }
              machine.expect(
                pages == (generation, generation + 10),
                "generation \(generation) is of the pages \(pages)")
            },
          ]
        }, check: { _ in })
    }
  }
#endif

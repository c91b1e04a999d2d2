// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine
  internal import Synchronization

  /// A mistake that somebody has made with these protocols, as small as it can be shown: two bodies
  /// and a few words, with the broken order next to the sound one.
  struct HistoricMistake: Sendable {
    enum Variant: Sendable {
      case broken
      case sound
    }

    let name: String
    /// What the broken variant does, and where it was seen.
    let origin: String
    /// More preemptions than a counterexample needs.
    static let preemptions = 4
    private let bodies: @Sendable (HistoricMachine, Variant) -> [() -> Void]
    private let check: @Sendable (HistoricMachine) -> Void

    init(
      _ name: String, origin: String,
      bodies: @escaping @Sendable (HistoricMachine, Variant) -> [() -> Void],
      check: @escaping @Sendable (HistoricMachine) -> Void = { _ in }
    ) {
      self.name = name
      self.origin = origin
      self.bodies = bodies
      self.check = check
    }

    func explore(
      _ variant: Variant, _ memory: ModelEngine.Memory, replaying schedule: String? = nil
    ) -> ModelEngine.Outcome {
      let machine = HistoricMachine()
      return ModelEngine.explore(
        memory, .init(preemptions: Self.preemptions), replaying: schedule,
        prepare: { engine in
          machine.reset(engine)
          return bodies(machine, variant)
        }, check: { _ in check(machine) })
    }
  }

  /// The words of one CPU and its senders, and what has become of the sends.
  @safe
  final class HistoricMachine {
    private(set) var engine: ModelEngine! = nil
    private let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: 8)

    /// What the CPU says of itself; each mistake has its own layout.
    var w: HistoricWord { word(0) }
    /// Work that is pending.
    var k: HistoricWord { word(1) }
    /// What a sender writes before it sends, and the handler reads.
    var datum: HistoricWord { word(2) }
    /// A generation, or a count of drains.
    var generation: HistoricWord { word(3) }
    /// What has been applied.
    var applied: HistoricWord { word(4) }
    /// Set when a waiter is through, or something has been freed.
    var end: HistoricWord { word(5) }
    /// Anything that a CPU looks at in kernel.
    var protected: HistoricWord { word(6) }

    // The witnesses: known to all bodies at once, since no machine sees them.
    /// The datum that a handler has read.
    var seen: UInt64 = 0
    /// The datum that a send has promised.
    var promised: UInt64 = 0
    var sent = 0
    var deferred = 0
    var interrupts = 0
    var executed = 0

    deinit { unsafe memory.deallocate() }

    func reset(_ engine: ModelEngine) {
      self.engine = engine
      for (index, name) in ["W", "K", "datum", "generation", "applied", "end", "protected"]
        .enumerated()
      {
        unsafe (memory + index).initialize(to: 0)
        engine.names[word(index).address] = name
      }
      seen = 0
      promised = 0
      sent = 0
      deferred = 0
      interrupts = 0
      executed = 0
    }

    private func word(_ index: Int) -> HistoricWord {
      HistoricWord(address: unsafe UInt(bitPattern: memory + index))
    }

    /// What the handler does.
    func handle() {
      let datum = datum.load(.relaxed)
      seen = max(seen, datum)
      executed += 1
    }

    /// What a CPU does in kernel: it may rely on whatever was promised before.
    func look() {
      _ = protected.load(.relaxed)
      if seen < promised {
        engine.fail("in kernel: promised was \(promised), the handler read \(seen)")
      }
    }

    func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
      if !condition { engine.fail(sentence()) }
    }
  }

  /// A shared word of a mistake.
  struct HistoricWord {
    let address: UInt

    /// A word before the bodies begin.
    func set(_ value: UInt64) { RawMemory.write(address, value, 8) }

    func load(
      _ ordering: AtomicLoadOrdering, file: String = #fileID, line: UInt = #line
    ) -> UInt64 {
      ModelEngine.current!.load(address, width: 8, Strength(ordering), Site(file: file, line: line))
    }

    func store(
      _ value: UInt64, _ ordering: AtomicStoreOrdering, file: String = #fileID, line: UInt = #line
    ) {
      ModelEngine.current!.store(
        address, value, width: 8, Strength(ordering), Site(file: file, line: line))
    }

    /// A sequentially consistent read-modify-write; returns the old value. Nil from `change` leaves
    /// the word alone.
    @discardableResult
    func modify(
      file: String = #fileID, line: UInt = #line, _ change: (UInt64) -> UInt64?
    ) -> UInt64 {
      ModelEngine.current!.modify(
        address, width: 8, Strength(AtomicUpdateOrdering.sequentiallyConsistent),
        Site(file: file, line: line), change)
    }
  }

  /// A sequentially consistent fence.
  func historicFence(file: String = #fileID, line: UInt = #line) {
    ModelEngine.current!.fence(
      Strength(AtomicUpdateOrdering.sequentiallyConsistent), Site(file: file, line: line))
  }
#endif

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// A small coordinator, in memory that is laid out anew for each execution, and the witnesses
  /// that the scenarios assert on.
  final class ModelMachine {
    static let cpus = 2
    static let senders = 3

    private let memory: MappedMemory
    private let senderMemory: [SenderMemory]
    /// For the rings of a trace.
    let traceMemory: MappedMemory
    private(set) var core: CoordinatorCore
    private(set) var engine: ModelEngine! = nil

    /// What each sender publishes before it sends; the handler reads it.
    let data = InlineWords()
    /// Words that a scenario uses as it likes.
    let flags = InlineWords()

    /// The highest datum of each sender that a handler has read.
    var seen = [UInt64](repeating: 0, count: senders)
    /// The highest datum of each sender that a send has promised: the next entry must have read it.
    var promised = [UInt64](repeating: 0, count: senders)
    var runs = 0
    var isRunning = [Bool](repeating: false, count: cpus)
    var outcomes: [SendOutcome] = []
    /// What the scenarios of pools look at.
    var poolModel: AnyObject? = nil
    /// What type 0 runs, in scenarios that have a handler of their own.
    var handlers: [ModelHandler] = []
    /// The domain of an execution, in scenarios of hazard pointers.
    var hazards: HazardTrial? = nil

    init() {
      memory = try! MappedMemory(byteCount: CoordinatorCore.byteCount(cpus: Self.cpus))
      traceMemory = try! MappedMemory(byteCount: 4096)
      senderMemory = (0..<Self.senders).map { _ in
        try! SenderMemory(cpus: Self.cpus, isShared: false)
      }
      core = CoordinatorCore(initializing: memory.address, cpus: Self.cpus)
    }

    func reset(_ engine: ModelEngine) {
      self.engine = engine
      memory.clear()
      handlers.removeAll(keepingCapacity: true)
      core = CoordinatorCore(initializing: memory.address, cpus: Self.cpus)
      var ranges: [Range<UInt>] = []
      for memory in senderMemory {
        let cells = memory.slot
        // Cells that the scenarios use: the first types of both CPUs, and the cross calls.
        // Safety: no body runs, and the cells are zeroed as new ones are.
        unsafe cells.base.pointer.initializeMemory(
          as: UInt8.self, repeating: 0, count: 128 * 3)
        for cpu in 0..<Self.cpus {
          for type in [0, 1, BuiltInWork.calls, BuiltInWork.patientCalls] {
            unsafe cells.cell(target: cpu, type: type).address.pointer
              .initializeMemory(as: UInt8.self, repeating: 0, count: 128)
          }
        }
        ranges += cells.modelPrivateRanges(cpus: Self.cpus)
      }
      for cpu in 0..<Self.cpus { ranges += core.slots[cpu].modelPrivateRanges }
      // A word that every entry loads, and that never moves without a catch-up type.
      let summary = core.summary.bits
      ranges.append(summary..<summary + 8)
      engine.privateRanges = ranges
      if engine.isTracing { nameWords() }
      OwnerTransitions.rounds.count = 8
      data.reset()
      flags.reset()
      for index in 0..<Self.senders {
        seen[index] = 0
        promised[index] = 0
      }
      runs = 0
      for index in 0..<Self.cpus { isRunning[index] = false }
      outcomes.removeAll(keepingCapacity: true)
    }

    /// What the words are called in a trace.
    private func nameWords() {
      for cpu in 0..<Self.cpus {
        let slot = core.slots[cpu]
        let state = slot.base.bits
        for (offset, name) in ["W", "K", "pin", "isOwned", "incarnation"].enumerated() {
          engine.names[state + UInt(8 * offset)] = "\(name)\(cpu)"
        }
        for type in 0..<2 {
          let name = type == 0 ? "" : "of type \(type)"
          engine.names[slot.applied.place(type).bits] = "applied\(cpu)\(name)"
          engine.names[slot.payloads.place(type).bits] = "payload\(cpu)\(name)"
          engine.names[slot.attachGeneration.place(type).bits] =
            "attachGeneration\(cpu)\(name)"
        }
      }
      for type in 0..<2 {
        engine.names[core.generations.place(UInt64(type)).bits] = "generation\(type)"
      }
      engine.names[core.base.bits + 8] = "live"
      engine.names[core.summary.bits] = "summary"
      for index in 0..<Self.senders {
        engine.names[data.address(index)] = "datum\(index)"
        engine.names[flags.address(index)] = "flag\(index)"
      }
    }

    // MARK: Set-up, outside the model

    /// Makes type 0 live: its handler reads all data.
    @discardableResult
    func registerType(
      _ type: UInt64 = 0, interruptSafe: Bool = false, onBehalf: Bool = false,
      mergesWithoutWriting: Bool = false, form: WorkForm = .bit
    ) -> WorkType {
      core.records[type].form = form
      // A payload has a bit for each sender whose data it announces.
      core.records[type].handler =
        form == .bit || form == .catchUp
        ? .init(handler { machine, cpu in machine.handle(cpu) })
        : handler(telling: { machine, cpu, payload in machine.handle(cpu, of: payload) })
      if form == .catchUp {
        core.line.catchUp.bitwiseOr(1 << type, ordering: .sequentiallyConsistent)
        let summary = core.summary.bits
        engine.privateRanges.removeAll { $0.lowerBound == summary }
      }
      core.line.live.bitwiseOr(1 << type, ordering: .sequentiallyConsistent)
      if interruptSafe {
        core.line.interruptSafe.bitwiseOr(1 << type, ordering: .sequentiallyConsistent)
      }
      if onBehalf {
        core.line.onBehalf.bitwiseOr(1 << type, ordering: .sequentiallyConsistent)
      }
      core.records[type].registration.store(type + 1, ordering: .relaxed)
      return WorkType(
        type: type, registration: type + 1, mergesWithoutWriting: mergesWithoutWriting, form: form)
    }

    /// Puts a CPU into kernel or user, as if its thread had attached.
    func place(
      _ cpu: Int, _ context: CPUContext, interrupter: Interrupter = .poll,
      isHousekeeping: Bool = false, threadID: Int32 = 1
    ) {
      let slot = core.slots[cpu]
      let reach = Reach(
        threadID: threadID, interrupter: interrupter, isHousekeeping: isHousekeeping, signal: 0)
      var abandoned = AbandonedCalls()
      _ = OwnerTransitions.attach(slot, core: core, reach: reach, &abandoned)
      abandoned.end()
      // Safety: nothing is bound any more.
      unsafe CurrentThread.bind(to: nil, onExit: nil)
      slot.state.isOwned.store(1, ordering: .relaxed)
      if context != .kernel { OwnerTransitions.leave(slot, to: context) }
    }

    // MARK: What bodies do

    /// Makes the running body the thread of this CPU.
    func become(_ cpu: Int) -> CPUSlot {
      // Safety: the slot is there until the execution is over.
      unsafe engine.threadLocal = core.slots[cpu].base.pointer
      return core.slots[cpu]
    }

    /// Attaches the running body to a CPU that is offline.
    @discardableResult
    func attach(_ cpu: Int) -> CPUSlot {
      let slot = core.slots[cpu]
      let reach = Reach(threadID: 1, interrupter: .poll, isHousekeeping: false, signal: 0)
      // Acquire — attach:O, as the coordinator does.
      slot.state.isOwned.exchange(1, ordering: .acquiring)
      var abandoned = AbandonedCalls()
      let entry = OwnerTransitions.attach(slot, core: core, reach: reach, &abandoned)
      if case .taken(let bits) = entry { OwnerTransitions.drainTaken(slot, core, bits) }
      abandoned.end()
      return slot
    }

    func path(_ sender: Int) -> SendPath {
      SendPath(core: core, sender: senderMemory[sender].slot, inline: .all)
    }

    /// Publishes a datum, sends, and notes what the answer promises.
    @discardableResult
    func send(
      _ work: WorkType, to cpu: Int = 0, as sender: Int, datum: UInt64,
      urgency: WorkType.Urgency = .deferrable, payload: UInt64 = .max
    ) -> SendOutcome {
      data[sender].store(datum, ordering: .relaxed)
      let path = self.path(sender)
      let site = CallSite("model", 0)
      let outcome =
        urgency == .deferrable && payload == .max
        ? path.deliver(work, to: cpu, from: site)
        : path.deliverSlow(work, to: cpu, urgency: urgency, from: site, payload: payload)
      outcomes.append(outcome)
      switch outcome {
      case .deferred: promised[sender] = datum
      case .merged:
        // Merged says user or kernel; only a word that still says user makes it a promise.
        let word = core.slots[cpu].state.word.load(ordering: .sequentiallyConsistent)
        if ContextWord(rawValue: word).context == .user { promised[sender] = datum }
      case .ranOnBehalf, .ranInline: expect(seen[sender] >= datum, "ran without its datum")
      default: break
      }
      return outcome
    }

    /// Entry, and what has to hold after it.
    func enter(_ slot: CPUSlot, from context: CPUContext = .user) {
      OwnerTransitions.enter(slot, core, from: context)
      checkPromises("after an entry")
    }

    func leave(_ slot: CPUSlot, to context: CPUContext = .user) {
      OwnerTransitions.leave(slot, to: context)
    }

    private func handle(_ cpu: Int, of senders: UInt64 = .max) {
      expect(!isRunning[cpu], "two handlers at once for one CPU")
      isRunning[cpu] = true
      for sender in 0..<Self.senders where senders >> UInt64(sender) & 1 != 0 {
        seen[sender] = max(seen[sender], data[sender].load(ordering: .relaxed))
      }
      runs += 1
      isRunning[cpu] = false
    }

    // MARK: Assertions

    func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
      if !condition { engine.fail(sentence()) }
    }

    func checkPromises(_ place: String) {
      for sender in 0..<Self.senders where seen[sender] < promised[sender] {
        engine.fail(
          "\(place): sender \(sender) was promised \(promised[sender]), the handler read \(seen[sender])"
        )
      }
    }

    /// After an execution: what is still pending runs, then every accepted send has been seen, and
    /// the accounts agree.
    func checkAccounts() {
      for cpu in 0..<Self.cpus {
        let slot = core.slots[cpu]
        let word = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed))
        if word.context == .offline { continue }
        if word.context != .kernel { OwnerTransitions.enter(slot, core, from: word.context!) }
        Drain(core, slot).drainPending()
        Drain(core, slot).drainPending()
      }
      checkPromises("at the end")
      let senders = (0..<Self.senders).map { path($0).sender }
      for cpu in 0..<Self.cpus {
        for type in 0..<2 {
          let sum = { (field: (Place<SenderCell>) -> UInt64) in
            senders.reduce(0) { $0 + field($1.cell(target: cpu, type: UInt64(type))) }
          }
          let merged = sum { $0.value.merged.load(ordering: .relaxed) }
          let sent =
            merged + sum { $0.value.sent.load(ordering: .relaxed) }
            + sum { $0.value.deferredInUser.load(ordering: .relaxed) }
          let gone =
            sum { $0.value.gone.load(ordering: .relaxed) }
            + core.slots[cpu].dropped[type].load(ordering: .relaxed)
          let executed = core.slots[cpu].executed[type].load(ordering: .relaxed)
          let work = core.slots[cpu].state.work.load(ordering: .relaxed)
          let pending = work >> UInt64(type) & 1
          expect(
            sent == executed + merged + pending + gone,
            "accounts: sent \(sent), executed \(executed), merged \(merged), pending \(pending), gone \(gone)"
          )
        }
      }
    }
  }
#endif

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What is attached to a point: constant from its publication to the end of the grace period after
/// it was taken out.
@safe
struct ProbeRecord: ~Copyable {
  /// What a hit does.
  enum Kind: UInt8 {
    case count, tally, values, latency, trace, call
  }

  let kind: Kind
  /// Whether it needs an activation: it does something when the hit's scope ends.
  let isReturning: Bool
  /// The probe's number: where its counts are. Another probe gets it when this one has gone.
  let number: Int
  /// Its registration, which is unique in the registry.
  let registration: UInt64
  /// Which argument is counted or measured.
  let argument: Int
  /// The program of the filter; nil asks nothing.
  let filter: Address?
  /// What is counted into, or the boxed functions.
  let context: Address?
  let event: TraceEvent
  let coordinator: CoordinatorCore?
  /// The most activations at once; 0 is as many as there are.
  let maximumActive: UInt64
  /// The activations that have begun and not ended, where there is a maximum.
  let active = SharedWord(0)

  init(
    kind: Kind, isReturning: Bool, number: Int, registration: UInt64, argument: Int,
    filter: Address?,
    context: Address?, event: TraceEvent, coordinator: CoordinatorCore?,
    maximumActive: UInt64
  ) {
    self.kind = kind
    self.isReturning = isReturning
    self.number = number
    self.registration = registration
    self.argument = argument
    self.filter = filter
    self.context = context
    self.event = event
    self.coordinator = coordinator
    self.maximumActive = maximumActive
  }

  /// The words of a probe in a stripe of counts: hits that did something, hits that the filter
  /// refused, and activations that found no room.
  static var countWords: Int { 3 }
}

// MARK: - A hit

extension ProbeCore {
  @inline(__always)
  var shape: Place<ProbeShape> { base }

  /// Begins the calling thread's section for a hit; nil if it cannot run anything, which is counted.
  @inline(__always)
  private func enter(_ site: ProbeSite) -> ProbeSections.Line? {
    switch shape.value.sections.enter() {
    case .entered(let line): return line
    case .nested:
      site.base.value.nested.wrappingAdd(1, ordering: .relaxed)
      return nil
    case .numberless:
      shape.value.numberless.wrappingAdd(1, ordering: .relaxed)
      return nil
    }
  }

  /// What is attached to a site, in a section.
  @inline(__always)
  private func list(of site: ProbeSite) -> ProbeList? {
    // Sequentially consistent — probe:V. After probe:E. If it leads to a list, a remover waits for
    // us; and what was written to the list is seen. Dekker with probe:E against probe:F and probe:S.
    // Pairs with probe:P.
    let address = site.base.value.list.load(ordering: .sequentiallyConsistent)
    // Safety: the word holds nothing but addresses of lists.
    return Address(at: address).map { unsafe ProbeList(base: Table($0)) }
  }

  /// Runs what is attached to a point. `words` is a word for the common fields of a trace event, and
  /// the arguments.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func hit(_ site: ProbeSite, _ words: Table<UInt64>) {
    let core = site.base.value.core
    guard let line = core.enter(site) else { return }
    if let list = core.list(of: site) {
      let count = list.count
      var index = 0
      while index < count {
        let record = list[index]
        // Without a scope there is nothing to measure.
        if !record.value.isReturning { core.run(record, words, line, site) }
        index &+= 1
      }
      if count == 0 { core.countLate() }
    }
    core.shape.value.sections.leave(line)
  }

  /// The same for the beginning of a scope: what returns takes an activation each. The answer is the
  /// chain of them.
  @usableFromInline @inline(never)
  static func begin(_ site: ProbeSite, _ words: Table<UInt64>) -> UInt {
    let core = site.base.value.core
    guard let line = core.enter(site) else { return 0 }
    var chain: UInt = 0
    if let list = core.list(of: site) {
      let count = list.count
      var index = 0
      while index < count {
        let record = list[index]
        if record.value.isReturning {
          core.activate(record, words, line, site, &chain)
        } else {
          core.run(record, words, line, site)
        }
        index &+= 1
      }
      if count == 0 { core.countLate() }
      // The clock last: what was done before is not the scope's.
      if chain != 0 {
        Activation(address: chain).start.value = cpi_cycles()
      }
    }
    core.shape.value.sections.leave(line)
    return chain
  }

  @inline(never)
  private func countLate() {
    shape.value.late.wrappingAdd(1, ordering: .relaxed)
  }

  /// Whether a probe's filter lets a hit pass.
  @inline(__always)
  private func passes(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    guard let filter = record.value.filter else { return true }
    return passes(filter, record, words, line, site)
  }

  @inline(never)
  private func passes(
    _ filter: Address, _ record: Place<ProbeRecord>,
    _ words: Table<UInt64>, _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    words[0] = UInt64(UInt32(bitPattern: CurrentThread.knownID)) << 32
    let bytes = FilterBytes(
      start: words.first.address,
      count: (site.base.value.arguments &+ 1) &* 8)
    let answer = FilterProgram(base: filter).matches(
      bytes, cpu: ProbeRegistry.Hit.currentCPU ?? Int(Int32.max), taskName: nil)
    if !answer { count(record, 1, line) }
    return answer
  }

  /// Adds one to a count of a probe.
  @inline(__always)
  private func count(
    _ record: Place<ProbeRecord>, _ which: Int, _ line: ProbeSections.Line
  ) {
    shape.value.counts.add(
      1, to: record.value.number &* ProbeRecord.countWords &+ which, thread: line.number)
  }

  /// One hit of one probe.
  @inline(__always)
  private func run(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    if !passes(record, words, line, site) { return }
    count(record, 0, line)
    if record.value.kind != .count { runMore(record, words, line, site) }
  }

  @inline(never)
  private func runMore(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    switch record.value.kind {
    case .count, .latency: break
    case .tally:
      // Safety: such a record has its memory, and the probe keeps it.
      ProbeTally.Memory(base: unsafe record.value.context.unsafelyUnwrapped)
        .add(words[record.value.argument &+ 1])
    case .values:
      // Safety: such a record has its memory, and the probe keeps it.
      unsafe ProbeHistogramMemory(base: record.value.context.unsafelyUnwrapped)
        .add(words[record.value.argument &+ 1], thread: line.number)
    case .trace:
      record.value.coordinator?.record(
        record.value.event, words, words: site.base.value.arguments &+ 1)
    case .call:
      watched(record, line) {
        // Safety: such a record has its functions, and the probe keeps them.
        unsafe Unmanaged<ProbeFunctions>.fromOpaque(record.value.context.unsafelyUnwrapped.pointer)
          ._withUnsafeGuaranteedRef { functions in
            functions.onEntry(
              ProbeRegistry.Hit(
                words: words.dropping(1), count: site.base.value.arguments, cycles: 0))
          }
      }
    }
  }

  /// Runs a user's function while the line says whose it is.
  @inline(__always)
  private func watched(
    _ record: Place<ProbeRecord>, _ line: ProbeSections.Line, _ body: () -> Void
  ) {
    // Relaxed: for who watches, and reads it for a name.
    line.running.value.store(UInt64(record.value.number) &+ 1, ordering: .relaxed)
    body()
    line.running.value.store(0, ordering: .relaxed)
  }
}

// MARK: - Scopes

extension ProbeCore {
  /// What a scope began with, in an object of the pool.
  @safe
  struct Activation {
    let base: Table<UInt64>

    init(address: UInt) {
      // Safety: an object of the pool of activations.
      base = unsafe Table(Address(at: address).unsafelyUnwrapped)
    }

    var next: Place<UInt64> { base.place(0) }
    var start: Place<UInt64> { base.place(1) }
    /// The probe's number, and its registration, which tells whether it is still the same probe.
    var number: Place<UInt64> { base.place(2) }
    var registration: Place<UInt64> { base.place(3) }
    var arguments: Table<UInt64> { base.dropping(4) }

    static var byteCount: Int { (4 + ProbeRegistry.argumentLimit) * 8 }
  }

  /// Takes an activation for one returning probe and puts it before the chain; counts where there is
  /// none.
  @inline(__always)
  private func activate(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite, _ chain: inout UInt
  ) {
    if !passes(record, words, line, site) { return }
    let maximum = record.value.maximumActive
    if maximum != 0,
      record.value.active.wrappingAdd(1, ordering: .relaxed).oldValue >= maximum
    {
      record.value.active.wrappingAdd(.max, ordering: .relaxed)
      return count(record, 2, line)
    }
    guard let object = takeActivation(line) else {
      if maximum != 0 { record.value.active.wrappingAdd(.max, ordering: .relaxed) }
      return count(record, 2, line)
    }
    let activation = Activation(address: object.bits)
    activation.next.value = UInt64(chain)
    activation.number.value = UInt64(record.value.number)
    activation.registration.value = record.value.registration
    let count = site.base.value.arguments
    var index = 0
    while index < count {
      activation.arguments[index] = words[index &+ 1]
      index &+= 1
    }
    chain = object.bits
    if record.value.kind == .call { runMore(record, words, line, site) }
  }

  /// Ends a scope: what returns runs, and its activations go back.
  @usableFromInline @inline(never)
  static func end(_ site: ProbeSite, _ chain: UInt, isAbandoned: Bool) {
    let now = cpi_cycles()
    let core = site.base.value.core
    let start = Activation(address: chain).start.value
    let entry = core.shape.value.sections.enter()
    var rest = chain
    while rest != 0 {
      let activation = Activation(address: rest)
      let object = rest
      rest = UInt(activation.next.value)
      if case .entered(let line) = entry {
        core.finish(activation, isAbandoned ? nil : now &- start, line, site)
        core.putActivation(object, line)
      } else {
        // Inside a handler, which the scope ends in: it runs nothing. The section round us keeps
        // the record.
        site.base.value.nested.wrappingAdd(1, ordering: .relaxed)
        core.finish(activation, nil, nil, site)
        core.putActivation(object, nil)
      }
    }
    if case .entered(let line) = entry { core.shape.value.sections.leave(line) }
  }

  /// One returning probe at the end of a scope; without cycles it runs nothing.
  @inline(__always)
  private func finish(
    _ activation: Activation, _ cycles: UInt64?, _ line: ProbeSections.Line?, _ site: ProbeSite
  ) {
    // Sequentially consistent — probe:V, as above. The probe may have been removed since the scope
    // began.
    let address = shape.value.records[Int(activation.number.value)]
      .load(ordering: .sequentiallyConsistent)
    // Safety: the word holds nothing but addresses of records.
    guard let record = Address(at: address).map({ unsafe Place<ProbeRecord>($0) }),
      record.value.registration == activation.registration.value
    else { return }
    if record.value.maximumActive != 0 {
      record.value.active.wrappingAdd(.max, ordering: .relaxed)
    }
    guard let cycles, let line else { return }
    count(record, 0, line)
    if record.value.kind == .latency {
      // Safety: as above.
      unsafe ProbeHistogramMemory(base: record.value.context.unsafelyUnwrapped)
        .add(cycles, thread: line.number)
    } else {
      watched(record, line) {
        // Safety: as above.
        unsafe Unmanaged<ProbeFunctions>.fromOpaque(record.value.context.unsafelyUnwrapped.pointer)
          ._withUnsafeGuaranteedRef { functions in
            functions.onReturn?(
              ProbeRegistry.Hit(
                words: activation.arguments, count: site.base.value.arguments, cycles: cycles))
          }
      }
    }
  }

  // MARK: The pool

  /// Takes an activation, out of the thread's own ring where it has one.
  @inline(__always)
  private func takeActivation(_ line: ProbeSections.Line) -> Address? {
    let pool = shape.value.activations
    let number = UInt(line.ring.value.load(ordering: .relaxed))
    if number > 1, let address = Address(at: number) {
      let index = pool.take(at: PoolRing(base: address), NoFaults.self)
      return index == PoolRing.none ? nil : pool.give(index)
    }
    if number == 0 { claimRing(line) }
    let index = pool.takeAsGuest(NoFaults.self)
    return index == PoolRing.none ? nil : pool.give(index)
  }

  private func putActivation(_ object: UInt, _ line: ProbeSections.Line?) {
    let pool = shape.value.activations
    guard let object = Address(at: object) else { return }
    let index = pool.receive(object)
    if let line, case let number = UInt(line.ring.value.load(ordering: .relaxed)),
      number > 1, let address = Address(at: number)
    {
      // The pool is never closed.
      _ = pool.put(index, at: PoolRing(base: address), NoFaults.self)
    } else {
      pool.holdAsGuest()
      pool.putAsGuest(index)
    }
  }

  /// Finds a ring for the calling thread, once; a ring of a thread that has died is taken over.
  @inline(never)
  private func claimRing(_ line: ProbeSections.Line) {
    let pool = shape.value.activations
    // The reference that stays with the ring; one that the pool itself has.
    pool.holdAsGuest()
    if let ring = pool.claimRing() {
      line.ring.value.store(UInt64(ring.base.bits), ordering: .relaxed)
    } else {
      pool.drop(1)
      line.ring.value.store(1, ordering: .relaxed)
    }
  }
}

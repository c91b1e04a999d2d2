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
  let context: UnsafeMutableRawPointer?
  let event: TraceEvent
  let coordinator: CoordinatorCore?
  /// The most activations at once; 0 is as many as there are.
  let maximumActive: UInt64
  /// The activations that have begun and not ended, where there is a maximum.
  let active = SharedWord(0)

  init(
    kind: Kind, isReturning: Bool, number: Int, registration: UInt64, argument: Int,
    filter: Address?,
    context: UnsafeMutableRawPointer?, event: TraceEvent, coordinator: CoordinatorCore?,
    maximumActive: UInt64
  ) {
    self.kind = kind
    self.isReturning = isReturning
    self.number = number
    self.registration = registration
    self.argument = argument
    self.filter = filter
    unsafe self.context = unsafe context
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
  var shape: UnsafeMutablePointer<ProbeShape> { unsafe base }

  /// Begins the calling thread's section for a hit; nil if it cannot run anything, which is counted.
  @inline(__always)
  private func enter(_ site: ProbeSite) -> ProbeSections.Line? {
    switch unsafe shape.pointee.sections.enter() {
    case .entered(let line): return line
    case .nested:
      unsafe site.base.pointee.nested.wrappingAdd(1, ordering: .relaxed)
      return nil
    case .numberless:
      unsafe shape.pointee.numberless.wrappingAdd(1, ordering: .relaxed)
      return nil
    }
  }

  /// What is attached to a site, in a section.
  @inline(__always)
  private func list(of site: ProbeSite) -> ProbeList? {
    // Sequentially consistent — probe:V. Behind probe:E. If it leads to a list, a remover waits for
    // us; and what was written to the list is seen. Dekker with probe:E against probe:F and probe:S.
    // Pairs with probe:P.
    let address = unsafe site.base.pointee.list.load(ordering: .sequentiallyConsistent)
    return unsafe UnsafeMutablePointer(bitPattern: address).map { unsafe ProbeList(base: $0) }
  }

  /// Runs what is attached to a point. `words` is a word for the common fields of a trace event, and
  /// the arguments.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func hit(_ site: ProbeSite, _ words: UnsafeMutablePointer<UInt64>) {
    let core = unsafe site.base.pointee.core
    guard let line = core.enter(site) else { return }
    if let list = core.list(of: site) {
      let count = list.count
      var index = 0
      while index < count {
        let record = unsafe list[index]
        // Without a scope there is nothing to measure.
        if unsafe !record.pointee.isReturning { unsafe core.run(record, words, line, site) }
        index &+= 1
      }
      if count == 0 { core.countLate() }
    }
    unsafe core.shape.pointee.sections.leave(line)
  }

  /// The same for the beginning of a scope: what returns takes an activation each. The answer is the
  /// chain of them.
  @usableFromInline @inline(never)
  static func begin(_ site: ProbeSite, _ words: UnsafeMutablePointer<UInt64>) -> UInt {
    let core = unsafe site.base.pointee.core
    guard let line = core.enter(site) else { return 0 }
    var chain: UInt = 0
    if let list = core.list(of: site) {
      let count = list.count
      var index = 0
      while index < count {
        let record = unsafe list[index]
        if unsafe record.pointee.isReturning {
          unsafe core.activate(record, words, line, site, &chain)
        } else {
          unsafe core.run(record, words, line, site)
        }
        index &+= 1
      }
      if count == 0 { core.countLate() }
      // The clock last: what was done before is not the scope's.
      if chain != 0 {
        unsafe Activation(address: chain).start.pointee = cpi_cycles()
      }
    }
    unsafe core.shape.pointee.sections.leave(line)
    return chain
  }

  @inline(never)
  private func countLate() {
    unsafe shape.pointee.late.wrappingAdd(1, ordering: .relaxed)
  }

  /// Whether a probe's filter lets a hit pass.
  @inline(__always)
  private func passes(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ words: UnsafeMutablePointer<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    guard let filter = unsafe record.pointee.filter else { return true }
    return unsafe passes(filter, record, words, line, site)
  }

  @inline(never)
  private func passes(
    _ filter: Address, _ record: UnsafeMutablePointer<ProbeRecord>,
    _ words: UnsafeMutablePointer<UInt64>, _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    unsafe words[0] = UInt64(UInt32(bitPattern: CurrentThread.knownID)) << 32
    let bytes = unsafe FilterBytes(
      start: Address(UnsafeMutableRawPointer(words)),
      count: (site.base.pointee.arguments &+ 1) &* 8)
    let answer = FilterProgram(base: filter).matches(
      bytes, cpu: ProbeHit.currentCPU ?? Int(Int32.max), taskName: nil)
    if !answer { unsafe count(record, 1, line) }
    return answer
  }

  /// Adds one to a count of a probe.
  @inline(__always)
  private func count(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ which: Int, _ line: ProbeSections.Line
  ) {
    unsafe shape.pointee.counts.add(
      1, to: record.pointee.number &* ProbeRecord.countWords &+ which, thread: line.number)
  }

  /// One hit of one probe.
  @inline(__always)
  private func run(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ words: UnsafeMutablePointer<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    if unsafe !passes(record, words, line, site) { return }
    unsafe count(record, 0, line)
    if unsafe record.pointee.kind != .count { unsafe runMore(record, words, line, site) }
  }

  @inline(never)
  private func runMore(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ words: UnsafeMutablePointer<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    switch unsafe record.pointee.kind {
    case .count, .latency: break
    case .tally:
      unsafe ProbeTally.Memory(base: record.pointee.context.unsafelyUnwrapped)
        .add(words[record.pointee.argument &+ 1])
    case .values:
      unsafe ProbeHistogramMemory(base: record.pointee.context.unsafelyUnwrapped)
        .add(words[record.pointee.argument &+ 1], thread: line.number)
    case .trace:
      unsafe record.pointee.coordinator?.record(
        record.pointee.event, Table(words), words: site.base.pointee.arguments &+ 1)
    case .call:
      unsafe watched(record, line) {
        unsafe Unmanaged<ProbeFunctions>.fromOpaque(record.pointee.context.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { functions in
            unsafe functions.onEntry(
              ProbeHit(words: words + 1, count: site.base.pointee.arguments, cycles: 0))
          }
      }
    }
  }

  /// Runs a user's function while the line says whose it is.
  @inline(__always)
  private func watched(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ line: ProbeSections.Line, _ body: () -> Void
  ) {
    // Relaxed: for who watches, and reads it for a name.
    unsafe line.running.pointee.store(UInt64(record.pointee.number) &+ 1, ordering: .relaxed)
    body()
    unsafe line.running.pointee.store(0, ordering: .relaxed)
  }
}

// MARK: - Scopes

extension ProbeCore {
  /// What a scope began with, in an object of the pool.
  @safe
  struct Activation {
    let base: UnsafeMutablePointer<UInt64>

    init(address: UInt) {
      unsafe base = UnsafeMutablePointer(bitPattern: address).unsafelyUnwrapped
    }

    var next: UnsafeMutablePointer<UInt64> { unsafe base }
    var start: UnsafeMutablePointer<UInt64> { unsafe base + 1 }
    /// The probe's number, and its registration, which tells whether it is still the same probe.
    var number: UnsafeMutablePointer<UInt64> { unsafe base + 2 }
    var registration: UnsafeMutablePointer<UInt64> { unsafe base + 3 }
    var arguments: UnsafeMutablePointer<UInt64> { unsafe base + 4 }

    static var byteCount: Int { (4 + ProbeRegistry.argumentLimit) * 8 }
  }

  /// Takes an activation for one returning probe and puts it before the chain; counts where there is
  /// none.
  @inline(__always)
  private func activate(
    _ record: UnsafeMutablePointer<ProbeRecord>, _ words: UnsafeMutablePointer<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite, _ chain: inout UInt
  ) {
    if unsafe !passes(record, words, line, site) { return }
    let maximum = unsafe record.pointee.maximumActive
    if maximum != 0,
      unsafe record.pointee.active.wrappingAdd(1, ordering: .relaxed).oldValue >= maximum
    {
      unsafe record.pointee.active.wrappingAdd(.max, ordering: .relaxed)
      return unsafe count(record, 2, line)
    }
    guard let object = takeActivation(line) else {
      if maximum != 0 { unsafe record.pointee.active.wrappingAdd(.max, ordering: .relaxed) }
      return unsafe count(record, 2, line)
    }
    let activation = Activation(address: object.bits)
    unsafe activation.next.pointee = UInt64(chain)
    unsafe activation.number.pointee = UInt64(record.pointee.number)
    unsafe activation.registration.pointee = record.pointee.registration
    let count = unsafe site.base.pointee.arguments
    var index = 0
    while index < count {
      unsafe activation.arguments[index] = unsafe words[index &+ 1]
      index &+= 1
    }
    chain = object.bits
    if unsafe record.pointee.kind == .call { unsafe runMore(record, words, line, site) }
  }

  /// Ends a scope: what returns runs, and its activations go back.
  @usableFromInline @inline(never)
  static func end(_ site: ProbeSite, _ chain: UInt, isAbandoned: Bool) {
    let now = cpi_cycles()
    let core = unsafe site.base.pointee.core
    let start = unsafe Activation(address: chain).start.pointee
    let entry = unsafe core.shape.pointee.sections.enter()
    var rest = chain
    while rest != 0 {
      let activation = Activation(address: rest)
      let object = rest
      rest = unsafe UInt(activation.next.pointee)
      if case .entered(let line) = entry {
        core.finish(activation, isAbandoned ? nil : now &- start, line, site)
        core.putActivation(object, line)
      } else {
        // Inside a handler, which the scope ends in: it runs nothing. The section round us keeps
        // the record.
        unsafe site.base.pointee.nested.wrappingAdd(1, ordering: .relaxed)
        core.finish(activation, nil, nil, site)
        core.putActivation(object, nil)
      }
    }
    if case .entered(let line) = entry { unsafe core.shape.pointee.sections.leave(line) }
  }

  /// One returning probe at the end of a scope; without cycles it runs nothing.
  @inline(__always)
  private func finish(
    _ activation: Activation, _ cycles: UInt64?, _ line: ProbeSections.Line?, _ site: ProbeSite
  ) {
    // Sequentially consistent — probe:V, as above. The probe may have been removed since the scope
    // began.
    let address = unsafe shape.pointee.records[Int(activation.number.pointee)]
      .load(ordering: .sequentiallyConsistent)
    guard let record = unsafe UnsafeMutablePointer<ProbeRecord>(bitPattern: address),
      unsafe record.pointee.registration == activation.registration.pointee
    else { return }
    if unsafe record.pointee.maximumActive != 0 {
      unsafe record.pointee.active.wrappingAdd(.max, ordering: .relaxed)
    }
    guard let cycles, let line else { return }
    unsafe count(record, 0, line)
    if unsafe record.pointee.kind == .latency {
      unsafe ProbeHistogramMemory(base: record.pointee.context.unsafelyUnwrapped)
        .add(cycles, thread: line.number)
    } else {
      unsafe watched(record, line) {
        unsafe Unmanaged<ProbeFunctions>.fromOpaque(record.pointee.context.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { functions in
            unsafe functions.onReturn?(
              ProbeHit(
                words: activation.arguments, count: site.base.pointee.arguments, cycles: cycles))
          }
      }
    }
  }

  // MARK: The pool

  /// Takes an activation, out of the thread's own ring where it has one.
  @inline(__always)
  private func takeActivation(_ line: ProbeSections.Line) -> Address? {
    let pool = unsafe shape.pointee.activations
    let number = unsafe UInt(line.ring.pointee.load(ordering: .relaxed))
    if number > 1, let address = Address(at: number) {
      let index = pool.take(at: PoolRing(base: address), NoFaults.self)
      return index == PoolRing.none ? nil : pool.give(index)
    }
    if number == 0 { claimRing(line) }
    let index = pool.takeAsGuest(NoFaults.self)
    return index == PoolRing.none ? nil : pool.give(index)
  }

  private func putActivation(_ object: UInt, _ line: ProbeSections.Line?) {
    let pool = unsafe shape.pointee.activations
    guard let object = Address(at: object) else { return }
    let index = pool.receive(object)
    if let line, case let number = unsafe UInt(line.ring.pointee.load(ordering: .relaxed)),
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
    let pool = unsafe shape.pointee.activations
    // The reference that stays with the ring; one that the pool itself has.
    pool.holdAsGuest()
    if let ring = pool.claimRing() {
      unsafe line.ring.pointee.store(UInt64(ring.base.bits), ordering: .relaxed)
    } else {
      pool.drop(1)
      unsafe line.ring.pointee.store(1, ordering: .relaxed)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

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
    /// The probe's number, and above it the index of the object in the pool; `PoolRing.none` is a thread's own.
    var numbers: Place<UInt64> { base.place(2) }
    /// The probe's registration, which tells whether it is still the same probe.
    var registration: Place<UInt64> { base.place(3) }
    var arguments: Table<UInt64> { base.dropping(4) }
    /// In a thread's own activation, which has no arguments: 1 while a scope has it.
    var taken: Place<SharedWord> {
      // Safety: the word is never anything else there.
      unsafe Place(Address(at: base.place(4).bits).unsafelyUnwrapped)
    }

    var number: Int { Int(truncatingIfNeeded: numbers.value & 0xffff_ffff) }
    var index: UInt32 { UInt32(truncatingIfNeeded: numbers.value &>> 32) }

    static var byteCount: Int { (4 + ProbeRegistry.argumentLimit) * 8 }
  }

  /// The beginning of a scope with up to four arguments. The answer is the chain of the activations.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func begin(
    _ site: ProbeSite, _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64
  ) -> UInt {
    if let chain = beginMeasuring(site) { return chain }
    return withWords(first, second, third, fourth) { beginListed(site, $0) }
  }

  /// The same with any number of arguments.
  @usableFromInline @inline(never)
  static func begin(_ site: ProbeSite, _ words: Table<UInt64>) -> UInt {
    beginMeasuring(site) ?? beginListed(site, words)
  }

  /// The beginning of a scope whose only probe measures it; nil where there is another, or the thread's own activation
  /// cannot be had.
  ///
  /// It knows the probe's name, and reads nothing of the probe, which may be removed meanwhile. The scope's end looks
  /// for the probe, in a section, and leaves alone what is not the same any more. The activation is the thread's, and
  /// never given back to anybody; so no remover has to know of it.
  @inline(__always)
  static func beginMeasuring(_ site: ProbeSite) -> UInt? {
    // Relaxed: nothing is read through it.
    let name = site.base.value.measuring.load(ordering: .relaxed)
    if name == 0 { return nil }
    let core = site.base.value.core
    guard let line = core.shape.value.sections.enterAlone() else { return nil }
    let activation = Activation(address: line.own)
    // Acquire — own:T. Another thread may have ended the scope before, and read what we are about to write. Pairs with
    // own:F.
    if activation.taken.value.load(ordering: .acquiring) != 0 {
      core.shape.value.sections.leave(line)
      return nil
    }
    // Relaxed: the thread alone takes it.
    activation.taken.value.store(1, ordering: .relaxed)
    activation.next.value = 0
    activation.numbers.value =
      name & (1 &<< ProbeRecord.numberBits &- 1) | UInt64(PoolRing.none) &<< 32
    activation.registration.value = name &>> ProbeRecord.numberBits
    return core.start(activation.base.bits, line)
  }

  /// The beginning of a scope for what is in the point's list.
  @inline(never)
  static func beginListed(_ site: ProbeSite, _ words: Table<UInt64>) -> UInt {
    let core = site.base.value.core
    guard let line = core.enter(site) else { return 0 }
    return core.start(core.list(of: site).map { core.begin($0, words, line, site) } ?? 0, line)
  }

  /// Reads the clock last: what was done before is not the scope's.
  @inline(__always)
  func start(_ chain: UInt, _ line: ProbeSections.Line) -> UInt {
    if chain != 0 { Activation(address: chain).start.value = cpi_cycles() }
    shape.value.sections.leave(line)
    return chain
  }

  /// What is attached to the beginning runs, and what returns takes an activation each.
  @inline(__always)
  func begin(
    _ list: ProbeList, _ words: Table<UInt64>, _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> UInt {
    var chain: UInt = 0
    let count = list.count
    var index = 0
    while index < count {
      let record = list[index]
      if !record.value.isReturning {
        run(record, words, line, site)
      } else if passes(record, words, line, site) {
        let arguments = site.base.value.arguments
        activate(record, line, &chain) { activation in
          var argument = 0
          while argument < arguments {
            activation.arguments[argument] = words[argument &+ 1]
            argument &+= 1
          }
          if record.value.kind == .call { runMore(record, words, line, site) }
        }
      }
      index &+= 1
    }
    if count == 0 { countLate() }
    return chain
  }

  /// Takes an activation for one returning probe and puts it before the chain; counts where there is
  /// none.
  @inline(__always)
  func activate(
    _ record: Place<ProbeRecord>, _ line: ProbeSections.Line, _ chain: inout UInt,
    _ fill: (Activation) -> Void
  ) {
    let maximum = record.value.maximumActive
    if maximum != 0,
      record.value.active.wrappingAdd(1, ordering: .relaxed).oldValue >= maximum
    {
      record.value.active.wrappingAdd(.max, ordering: .relaxed)
      return count(record, 2, line)
    }
    let pool = shape.value.activations
    let index = takeActivation(pool, line)
    if index == PoolRing.none {
      if maximum != 0 { record.value.active.wrappingAdd(.max, ordering: .relaxed) }
      return count(record, 2, line)
    }
    // Nobody but a scope has the object, once: its mark says nothing that is not known.
    let object = pool.object(index)
    let activation = Activation(address: object.bits)
    activation.next.value = UInt64(chain)
    activation.numbers.value =
      UInt64(truncatingIfNeeded: record.value.number) | UInt64(index) &<< 32
    activation.registration.value = record.value.registration
    chain = object.bits
    fill(activation)
  }

  /// Ends a scope: what returns runs, and its activations go back.
  @usableFromInline @inline(never)
  static func end(_ site: ProbeSite, _ chain: UInt, isAbandoned: Bool) {
    let now = cpi_cycles()
    let core = site.base.value.core
    let cycles = isAbandoned ? nil : now &- Activation(address: chain).start.value
    guard case .entered(let line) = core.shape.value.sections.enter() else {
      return core.endInside(site, chain)
    }
    var rest = chain
    repeat {
      let activation = Activation(address: rest)
      rest = UInt(activation.next.value)
      core.finish(activation, cycles, line, site)
      core.putActivation(activation, line)
    } while rest != 0
    core.shape.value.sections.leave(line)
  }

  /// A scope that ends inside a handler runs nothing. The section round us keeps the records.
  @inline(never)
  func endInside(_ site: ProbeSite, _ chain: UInt) {
    var rest = chain
    while rest != 0 {
      let activation = Activation(address: rest)
      rest = UInt(activation.next.value)
      site.base.value.nested.wrappingAdd(1, ordering: .relaxed)
      finish(activation, nil, nil, site)
      putActivation(activation, nil)
    }
  }

  /// One returning probe at the end of a scope; without cycles it runs nothing.
  @inline(__always)
  func finish(
    _ activation: Activation, _ cycles: UInt64?, _ line: ProbeSections.Line?, _ site: ProbeSite
  ) {
    // Sequentially consistent — probe:V, as above. The probe may have been removed since the scope
    // began.
    let address = shape.value.records[activation.number]
      .load(ordering: .sequentiallyConsistent)
    // Safety: the word holds nothing but addresses of records.
    guard let record = Address(at: address).map({ unsafe Place<ProbeRecord>($0) }),
      record.value.registration == activation.registration.value
    else { return }
    if record.value.maximumActive != 0 {
      record.value.active.wrappingAdd(.max, ordering: .relaxed)
    }
    guard let cycles, let line else { return }
    if record.value.kind == .latency {
      // The histogram knows how many hits it has.
      // Safety: as above.
      unsafe ProbeHistogramMemory(base: record.value.context.unsafelyUnwrapped)
        .add(cycles, thread: line.number)
    } else {
      count(record, 0, line)
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
  func takeActivation(_ pool: PoolCore, _ line: ProbeSections.Line) -> UInt32 {
    let number = UInt(line.ring.value.load(ordering: .relaxed))
    if number > 1, let address = Address(at: number) {
      return pool.take(at: PoolRing(base: address), NoFaults.self)
    }
    if number == 0 { claimRing(line) }
    return pool.takeAsGuest(NoFaults.self)
  }

  @inline(__always)
  func putActivation(_ activation: Activation, _ line: ProbeSections.Line?) {
    let index = activation.index
    if index == PoolRing.none {
      // Release — own:F. What this thread has read of it comes before what its owner writes next. Pairs with own:T.
      return activation.taken.value.store(0, ordering: .releasing)
    }
    let pool = shape.value.activations
    if let line, case let number = UInt(line.ring.value.load(ordering: .relaxed)),
      number > 1, let address = Address(at: number)
    {
      // The pool is never closed.
      _ = pool.put(index, at: PoolRing(base: address), NoFaults.self)
    } else {
      putActivationAsGuest(index)
    }
  }

  @inline(never)
  func putActivationAsGuest(_ index: UInt32) {
    let pool = shape.value.activations
    pool.holdAsGuest()
    pool.putAsGuest(index)
  }

  /// Finds a ring for the calling thread, once; a ring of a thread that has died is taken over.
  @inline(never)
  func claimRing(_ line: ProbeSections.Line) {
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

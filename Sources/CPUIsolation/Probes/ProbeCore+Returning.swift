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
    /// The probe's number, and its registration, which tells whether it is still the same probe.
    var number: Place<UInt64> { base.place(2) }
    var registration: Place<UInt64> { base.place(3) }
    var arguments: Table<UInt64> { base.dropping(4) }

    static var byteCount: Int { (4 + ProbeRegistry.argumentLimit) * 8 }
  }

  /// Takes an activation for one returning probe and puts it before the chain; counts where there is
  /// none.
  @inline(__always)
  func activate(
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
  func finish(
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
  func takeActivation(_ line: ProbeSections.Line) -> Address? {
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

  func putActivation(_ object: UInt, _ line: ProbeSections.Line?) {
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

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Where the library records its own events: off the shortest paths, after one load and a branch.
extension CoordinatorCore {
  /// Whether an event is recorded.
  @inline(__always)
  func isTraced(_ event: TraceEvent) -> Bool {
    line.traced.load(ordering: .relaxed) & event.bit != 0
  }

  /// The time for an event that is recorded once it is known to have happened; 0 if it is not
  /// recorded.
  @inline(__always)
  func traceTime(of event: TraceEvent) -> UInt64 { isTraced(event) ? cpi_cycles() : 0 }

  /// Records an event of one word. The caller has looked whether it is recorded; so for the others.
  func trace(_ event: TraceEvent, _ first: UInt64) { trace(event, 1, first, 0, 0, 0, at: 0) }

  /// Records an event of two words.
  func trace(_ event: TraceEvent, _ first: UInt64, _ second: UInt64) {
    trace(event, 2, first, second, 0, 0, at: 0)
  }

  /// Records an event of three words.
  func trace(
    _ event: TraceEvent, _ first: UInt64, _ second: UInt64, _ third: UInt64, at time: UInt64 = 0
  ) {
    trace(event, 3, first, second, third, 0, at: time)
  }

  /// Records an event of four words.
  func trace(
    _ event: TraceEvent, _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64
  ) {
    trace(event, 4, first, second, third, fourth, at: 0)
  }

  @inline(never)
  private func trace(
    _ event: TraceEvent, _ count: Int, _ first: UInt64, _ second: UInt64, _ third: UInt64,
    _ fourth: UInt64, at time: UInt64
  ) {
    var payload: InlineArray<6, UInt64> = [0, first, second, third, fourth, 0]
    unsafe withUnsafeMutableBytes(of: &payload) { bytes in
      // Safety: the payload is longer than any of these events.
      unsafe record(
        event, Table(Address(bytes.baseAddress.unsafelyUnwrapped)), words: 1 + count, at: time)
    }
  }

  /// Hands an event on whose payload stands in memory: to its static probe if that is watched, and into
  /// the ring of the calling thread if it is recorded.
  @usableFromInline
  func record(
    _ event: TraceEvent, _ payload: Table<UInt64>, words: Int, at time: UInt64 = 0
  ) {
    if StaticProbe.isWatched(event) { StaticProbe.hit(event, payload, words: words) }
    guard
      let base = Address(at: line.trace.load(ordering: .relaxed))
    else { return }
    let buffers = TraceBuffers(base: base)
    guard buffers.records(event) else { return }
    let ring: Int
    let isProtected: Bool
    if let slot = CurrentThread.slot,
      slot.owner.core.load(ordering: .relaxed) == self.base.bits
    {
      ring = Int(truncatingIfNeeded: slot.owner.number.load(ordering: .relaxed))
      isProtected = ContextTracker(slot).ownContext == UInt64(CPUContext.kernel.rawValue)
    } else {
      ring = buffers.sharedRing
      isProtected = false
    }
    buffers.record(
      event, ring: ring, isProtected: isProtected, at: time, payload, words: words)
  }

  /// Records an interrupt that was sent.
  func traceIPI(to cpu: Int, from site: CallSite, _ callback: UInt64, at time: UInt64) {
    if time == 0 { return }
    trace(.ipiSendCPU, UInt64(cpu), Self.traceAddress(of: site), callback, at: time)
  }

  /// The time before interrupts to several CPUs, if these are recorded; else 0.
  func traceTimeOfIPIs() -> UInt64 {
    max(traceTime(of: .ipiSendCPU), traceTime(of: .ipiSendCPUMask))
  }

  /// Records the interrupts of one send: as the kernel does, in one event if there are several.
  func traceIPIs(to cpus: CPUMask, from site: CallSite, _ callback: UInt64, at time: UInt64) {
    if cpus.count == 1, isTraced(.ipiSendCPU) {
      traceIPI(to: cpus.first!, from: site, callback, at: time)
    }
    guard cpus.count > 1, isTraced(.ipiSendCPUMask) else { return }
    withMask(cpus) { payload, words in
      payload[1] = TraceBuffers.location(at: 32, byteCount: (words - 4) * 8)
      payload[2] = Self.traceAddress(of: site)
      payload[3] = callback
      record(.ipiSendCPUMask, payload, words: words, at: time)
    }
  }

  /// Lends a payload whose words from the fifth on are a mask as wide as the coordinator.
  private func withMask(_ cpus: CPUMask, _ body: (Table<UInt64>, Int) -> Void) {
    let words = 4 + max(1, (line.count + 63) / 64)
    // Safety: the payload is this function's.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { payload in
      unsafe payload.update(repeating: 0)
      for cpu in cpus { unsafe payload[4 + cpu >> 6] |= 1 << UInt64(cpu & 63) }
      // Safety: it has as many words.
      unsafe body(Table(payload.baseAddress.unsafelyUnwrapped), words)
    }
  }

  /// Records what happens to a cross call, if that is recorded. What runs is named by where the call
  /// was made.
  func traceCall(
    _ event: TraceEvent, _ record: Place<CallRecord>, from site: CallSite,
    cpu: Int = 0
  ) {
    if !isTraced(event) { return }
    let place = Self.traceAddress(of: site)
    let address = UInt64(record.bits)
    if event == .csdQueueCPU {
      trace(event, UInt64(cpu), place, place, address)
    } else {
      trace(event, place, address)
    }
  }

  /// Records the beginning or the end of a grace period.
  func traceGracePeriod(_ sequence: UInt64, stage: StaticString, _ cpus: CPUMask) {
    withMask(cpus) { payload, words in
      payload[1] = sequence
      // Safety: seven bytes at most fit into the word.
      unsafe payload.place(2).address.pointer.copyMemory(
        from: stage.utf8Start, byteCount: min(stage.utf8CodeUnitCount, 7))
      payload[3] = TraceBuffers.location(at: 32, byteCount: (words - 4) * 8)
      record(.gracePeriod, payload, words: words)
    }
  }

  // MARK: Addresses that stand for names

  /// The address that stands for a work type in records: stable for the life of the registration.
  func traceAddress(ofWork type: UInt64) -> UInt64 {
    TraceAddress.work(records[type].registration.load(ordering: .relaxed))
  }

  /// The address that stands for a call site.
  static func traceAddress(of site: CallSite) -> UInt64 {
    // Safety: an address as a number.
    TraceAddress.site(UInt(bitPattern: unsafe site.file.utf8Start), line: site.line)
  }
}

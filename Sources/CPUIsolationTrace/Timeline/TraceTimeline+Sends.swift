// SPDX-License-Identifier: Apache-2.0

/// Interrupts, calls and deferred work: what one CPU has another one do.
extension TraceTimeline {
  mutating func interrupt(
    _ record: TraceRecord, _ targets: [Int], _ callsite: FieldReader?, _ callback: FieldReader?
  ) {
    let origin = origin(record, callsite)
    let address = callback?.number(record) ?? 0
    let function = names.number(ofFunctionAt: address, recording.symbols)
    for target in targets {
      var callback = function
      if address == 0 {
        // A reschedule interrupt runs no function: where it comes from says more than 0x0.
        callback = names.number(of: "none, from \(origin.callsite.map { names[$0] } ?? "0x0")")
      } else if names[function].hasPrefix("generic_smp_call_function"),
        let queued = lastQueued.removeValue(forKey: Pair(thread: record.thread, target: target))
      {
        callback = queued
      }
      occurrences.append(
        .sent(
          TraceInterrupt(
            origin: origin, target: target, callback: callback, targets: targets.count,
            flow: nextFlow())))
    }
  }

  mutating func queue(
    _ record: TraceRecord, _ target: Int, _ address: UInt64, _ callsite: FieldReader?
  ) {
    let call = TraceCall(
      origin: origin(record, callsite), target: target,
      function: names.number(ofFunctionAt: address, recording.symbols), flow: nextFlow())
    let work = Work(target: target, address: address)
    if queued[work]?.count == Self.mostQueued { queued[work]?.removeFirst() }
    queued[work, default: []].append(call)
    lastQueued[Pair(thread: record.thread, target: target)] = call.function
    occurrences.append(.queued(call))
  }

  mutating func deferWork(
    _ record: TraceRecord, _ target: Int, _ address: UInt64, _ callsite: FieldReader?
  ) {
    let work = Work(target: target, address: address)
    let origin = origin(record, callsite)
    if pending[work] != nil {
      pending[work]?.merges += 1
      if let deferral = pending[work] { occurrences.append(.merged(deferral, by: origin)) }
      return
    }
    pendingCounts[target, default: 0] += 1
    let deferral = TraceDeferral(
      work: names.number(ofFunctionAt: address, recording.symbols), target: target,
      start: record.timestamp, origin: origin, flow: nextFlow(),
      pending: pendingCounts[target] ?? 0)
    pending[work] = deferral
    occurrences.append(.deferred(deferral))
  }

  mutating func drain(
    _ record: TraceRecord, _ target: Int, _ address: UInt64, age: UInt64
  ) {
    let time = record.timestamp
    let work = Work(target: target, address: address)
    var deferral: TraceDeferral
    if let known = pending.removeValue(forKey: work) {
      deferral = known
      deferral.end = max(time, deferral.start)
      pendingCounts[target, default: 1] -= 1
    } else {
      // The event that set it is missing; the age says when that was.
      deferral = TraceDeferral(
        work: names.number(ofFunctionAt: address, recording.symbols), target: target,
        start: time - min(age, time), end: time, flow: nextFlow())
    }
    deferral.pending = pendingCounts[target] ?? 0
    occurrences.append(.drained(deferral))
  }
}

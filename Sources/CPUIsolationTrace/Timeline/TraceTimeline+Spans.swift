// SPDX-License-Identifier: Apache-2.0

/// What a CPU spends its time with, from the records of a beginning and an end.
extension TraceTimeline {
  mutating func begin(
    _ activity: TraceActivity, key: UInt64, _ name: Int32, _ record: TraceRecord
  ) {
    let cpu = record.cpu
    var activity = activity
    if activity == .timer, names[name].hasPrefix("tick_"),
      !cpus[cpu].open.contains(where: { $0.span.activity == .tick })
    {
      // Where the interrupt itself is not recorded, the timer of the tick stands for it.
      activity = .tick
    }
    // A CPU is in user once: the exit between is missing.
    if activity == .user { cut(on: cpu) { $0.span.activity == .user } }
    if cpus[cpu].open.count == Self.mostOpen { cutAll(on: cpu) }
    var span = TraceSpan(
      activity: activity, cpu: cpu, name: name, thread: threadText(record.thread),
      start: record.timestamp)
    if activity == .call, queued[Work(target: cpu, address: key)]?.isEmpty == false,
      let call = queued[Work(target: cpu, address: key)]?.removeFirst()
    {
      (span.origin, span.flow) = (call.origin, call.flow)
    }
    cpus[cpu].open.append(Open(span: span, key: key))
    occurrences.append(.began(span))
  }

  mutating func end(_ activity: TraceActivity, key: UInt64, _ record: TraceRecord) {
    let cpu = record.cpu
    func isMeant(_ open: Open) -> Bool {
      let isSame =
        open.span.activity == activity || open.span.activity == .tick && activity == .timer
      return isSame && open.key == key
    }
    guard let index = cpus[cpu].open.lastIndex(where: isMeant) else { return }
    // What began later and has not ended lost its end somewhere.
    while cpus[cpu].open.count > index, var open = cpus[cpu].open.popLast() {
      // A clock may go back: nothing ends before it began.
      open.span.end = max(record.timestamp, open.span.start)
      open.span.isCut = cpus[cpu].open.count > index
      occurrences.append(.ended(open.span))
    }
  }

  /// Ends what fits and all that lies on it, where the CPU was last seen.
  private mutating func cut(on cpu: Int, _ isMeant: (Open) -> Bool) {
    guard let index = cpus[cpu].open.firstIndex(where: isMeant) else { return }
    while cpus[cpu].open.count > index, var open = cpus[cpu].open.popLast() {
      open.span.end = max(cpus[cpu].lastTime, open.span.start)
      open.span.isCut = true
      occurrences.append(.ended(open.span))
    }
  }

  mutating func cutAll(on cpu: Int) {
    cut(on: cpu) { _ in true }
    guard var thread = cpus[cpu].thread else { return }
    (thread.end, thread.isCut) = (max(cpus[cpu].lastTime, thread.start), true)
    occurrences.append(.ended(thread))
    cpus[cpu].thread = nil
  }

  mutating func switchThread(_ record: TraceRecord, from: Int32, to: Int32) {
    let (cpu, time) = (record.cpu, record.timestamp)
    cpus[cpu].lastTime = time
    // A thread takes its work item along when it goes.
    cut(on: cpu) { $0.span.activity == .workItem }
    var last =
      cpus[cpu].thread
      ?? TraceSpan(
        activity: .thread, cpu: cpu, name: threadText(from), thread: threadText(from),
        start: range?.lowerBound ?? time, isCut: true)
    last.end = max(time, last.start)
    occurrences.append(cpus[cpu].thread == nil ? .happened(last) : .ended(last))
    let next = TraceSpan(
      activity: .thread, cpu: cpu, name: threadText(to), thread: threadText(to), start: time)
    cpus[cpu].thread = next
    occurrences.append(.began(next))
  }
}

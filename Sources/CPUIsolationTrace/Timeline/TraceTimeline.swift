// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the events of a recording say together: who waited for what, and who interrupted whom.
///
/// Records go in one at a time, and what each of them tells comes out; only what has not ended is
/// kept.
struct TraceTimeline {
  /// What the last record told.
  var occurrences: [TraceOccurrence] = []
  var names = TraceNames()
  private(set) var eventCount = 0
  private(set) var range: ClosedRange<UInt64>?

  /// What a CPU is at.
  struct CPUState {
    var open: [Open] = []
    var lastTime: UInt64 = 0
    /// The thread that a switch brought.
    var thread: TraceSpan?
    /// The only thread that was seen; nil before the first one.
    var soleThread: Int32?
    var hasManyThreads = false
  }
  struct Open {
    var span: TraceSpan
    var key: UInt64
  }
  struct Work: Hashable {
    var target: Int
    var address: UInt64
  }
  struct Pair: Hashable {
    var thread: Int32
    var target: Int
  }

  let recording: TraceRecording
  private var readings: [Int: EventReading] = [:]
  var cpus: [CPUState]
  var pending: [Work: TraceDeferral] = [:]
  var pendingCounts: [Int: Int] = [:]
  var queued: [Work: [TraceCall]] = [:]
  var lastQueued: [Pair: Int32] = [:]
  private var threadNames: [Int32: String]
  private var threadTexts: [Int32: Int32] = [:]
  private var flows: UInt64 = 0

  /// Calls that wait for the record of their beginning, of one function on one CPU: where it is not
  /// recorded at all, they must not pile up.
  static let mostQueued = 256
  /// Deeper than anything real nests; a damaged recording may only ever begin things.
  static let mostOpen = 64

  init(_ recording: TraceRecording) {
    self.recording = recording
    threadNames = recording.threadNames
    cpus = Array(repeating: CPUState(), count: recording.cpuCount)
  }

  /// Takes the next record, in the order of their time stamps.
  mutating func add(_ record: TraceRecord) {
    occurrences.removeAll(keepingCapacity: true)
    eventCount += 1
    let time = record.timestamp
    range = min(range?.lowerBound ?? time, time)...max(range?.upperBound ?? time, time)
    if let loss = record.loss {
      cutAll(on: record.cpu)
      occurrences.append(.lost(cpu: record.cpu, time: time, loss))
    }
    note(record.thread, on: record.cpu)
    defer { cpus[record.cpu].lastTime = time }
    switch reading(of: record) {
    case .interrupt(let target, let callsite, let callback):
      interrupt(record, [Int(clamping: target.number(record))], callsite, callback)
    case .interrupts(let targets, let callsite, let callback):
      interrupt(record, targets.cpus(record), callsite, callback)
    case .queue(let target, let function, let callsite):
      queue(record, Int(clamping: target.number(record)), function.number(record), callsite)
    case .begin(let activity, let key, let name):
      begin(activity, key: key?.number(record) ?? 0, self.name(name, record), record)
    case .end(let activity, let key): end(activity, key: key?.number(record) ?? 0, record)
    case .took(let activity, let name, let duration, let longest):
      let length = min(duration.number(record), time)
      var span = TraceSpan(
        activity: activity, cpu: record.cpu, name: self.name(name, record),
        thread: threadText(record.thread), start: time - length, end: time)
      span.longest = longest?.number(record)
      occurrences.append(.happened(span))
    case .moment(let activity, let name):
      occurrences.append(
        .happened(
          TraceSpan(
            activity: activity, cpu: record.cpu, name: self.name(name, record),
            thread: threadText(record.thread), start: time)))
    case .deferral(let target, let work, let callsite):
      deferWork(record, Int(clamping: target.number(record)), work.number(record), callsite)
    case .drain(let target, let work, let age):
      drain(
        record, Int(clamping: target.number(record)), work.number(record),
        age: age?.number(record) ?? 0)
    case .threadSwitch(let previous, let previousName, let next, let nextName):
      let threads = [(previous, previousName), (next, nextName)].map { number, name in
        let number = Int32(truncatingIfNeeded: number.number(record))
        if let name { learn(number, name.text(record)) }
        return number
      }
      switchThread(record, from: threads[0], to: threads[1])
    case .counter(let name, let cpu, let value):
      occurrences.append(
        .counted(
          name: name, cpu: cpu.map { Int(clamping: $0.number(record)) } ?? record.cpu, time: time,
          value: value.number(record)))
    case .other: occurrences.append(.other(record))
    }
  }

  /// Tells what has not ended.
  mutating func finish() {
    occurrences.removeAll(keepingCapacity: true)
    let end = range?.upperBound ?? 0
    for cpu in cpus.indices {
      while let open = cpus[cpu].open.popLast() { occurrences.append(.ended(open.span)) }
      if var thread = cpus[cpu].thread {
        (thread.end, thread.isCut) = (max(end, thread.start), true)
        occurrences.append(.ended(thread))
        cpus[cpu].thread = nil
      }
    }
    for deferral in pending.values.sorted(by: { $0.flow < $1.flow }) {
      occurrences.append(.drained(deferral))
    }
    pending = [:]
  }

  /// The thread that a CPU ran all the time; nil if there were several, or none.
  func soleThread(of cpu: Int) -> String? {
    guard cpus.indices.contains(cpu), !cpus[cpu].hasManyThreads else { return nil }
    return cpus[cpu].soleThread.map(threadName)
  }

  mutating func threadText(_ thread: Int32) -> Int32 {
    if let known = threadTexts[thread] { return known }
    let number = names.number(of: "\(threadName(thread))-\(thread)")
    threadTexts[thread] = number
    return number
  }

  private func threadName(_ thread: Int32) -> String {
    thread == 0 ? "<idle>" : threadNames[thread] ?? "<...>"
  }

  // MARK: Pieces of a record

  private mutating func reading(of record: TraceRecord) -> EventReading {
    let number = record.event
    if let known = readings[number] { return known }
    let reading = recording.formats[number].map { EventReading($0) } ?? .other
    readings[number] = reading
    return reading
  }

  private mutating func note(_ thread: Int32, on cpu: Int) {
    guard thread != 0, cpus[cpu].soleThread != thread else { return }
    cpus[cpu].hasManyThreads = cpus[cpu].soleThread != nil
    cpus[cpu].soleThread = cpus[cpu].soleThread ?? thread
  }

  private mutating func learn(_ thread: Int32, _ name: String) {
    guard thread != 0, threadNames[thread] == nil else { return }
    threadNames[thread] = name
    threadTexts[thread] = nil
  }

  mutating func function(_ field: FieldReader, _ record: TraceRecord) -> Int32 {
    names.number(ofFunctionAt: field.number(record), recording.symbols)
  }

  private mutating func name(_ name: EventReading.Name, _ record: TraceRecord) -> Int32 {
    switch name {
    case .fixed(let text): return names.number(of: text)
    case .function(let field): return function(field, record)
    case .softirq(let field):
      let number = Int(clamping: field.number(record))
      let known = EventReading.softirqs
      return names.number(of: known.indices.contains(number) ? known[number] : "\(number)")
    case .interrupt(let name, let number):
      let text = name.map { $0.text(record) } ?? ""
      return names.number(of: (text.isEmpty ? "irq" : text) + " (\(number.number(record)))")
    case .noise(let what, let field):
      return names.number(of: field.map { "\(what) \($0.text(record))" } ?? what)
    }
  }

  mutating func origin(_ record: TraceRecord, _ callsite: FieldReader?) -> TraceOrigin {
    TraceOrigin(
      cpu: record.cpu, time: record.timestamp, thread: threadText(record.thread),
      callsite: callsite.map { function($0, record) })
  }

  mutating func nextFlow() -> UInt64 {
    flows += 1
    return flows
  }
}

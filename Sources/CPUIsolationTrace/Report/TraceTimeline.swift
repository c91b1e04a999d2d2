// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the events of a recording say together: who waited for what, and who interrupted whom.
struct TraceTimeline {
  /// Work that was left for a CPU, until the CPU ran it.
  struct Deferral {
    var work: String
    var target: Int
    var start: UInt64
    /// nil: it is still pending at the end of the recording.
    var end: UInt64?
    var merges = 0
    /// nil if the recording has not the event that set it.
    var sender: Sender?
  }

  struct Sender {
    var cpu: Int
    var thread: String
  }

  struct Interrupt {
    var time: UInt64
    var senderCPU: Int
    var sender: String
    var target: Int
    var callback: String
  }

  /// A time that a CPU spent in user, or in a function that another CPU called.
  struct Span {
    var cpu: Int
    var name: String
    var start: UInt64
    var end: UInt64?
    /// Who queued the call, and when.
    var origin: (cpu: Int, time: UInt64)?
  }

  private(set) var deferrals: [Deferral] = []
  private(set) var interrupts: [Interrupt] = []
  private(set) var userSpans: [Span] = []
  private(set) var calls: [Span] = []
  private(set) var losses: [(cpu: Int, time: UInt64, loss: TraceLoss)] = []
  private(set) var eventCount = 0
  private(set) var range: ClosedRange<UInt64>?
  /// The threads that each CPU was seen to run, by their names.
  private(set) var threads: [Int: Set<String>] = [:]

  private struct Work: Hashable {
    var target: Int
    var address: UInt64
  }
  private struct Pair: Hashable {
    var thread: Int32
    var target: Int
  }

  private let recording: TraceRecording
  private(set) var report: TraceTextReport
  private var pending: [Work: Int] = [:]
  private var inUser: [Int: Int] = [:]
  private var running: [Int: [(function: UInt64, call: Int)]] = [:]
  private var queued: [Work: [(cpu: Int, time: UInt64)]] = [:]
  private var lastQueued: [Pair: String] = [:]

  init(_ recording: TraceRecording) {
    self.recording = recording
    report = TraceTextReport(recording)
  }

  /// Events in the order of their time stamps.
  mutating func add(_ record: TraceRecord) {
    eventCount += 1
    let time = record.timestamp
    range = min(range?.lowerBound ?? time, time)...max(range?.upperBound ?? time, time)
    if let loss = record.loss {
      losses.append((record.cpu, time, loss))
      // What the CPU was doing may have ended in what is missing.
      inUser[record.cpu] = nil
      running[record.cpu] = nil
    }
    if record.thread != 0 {
      threads[record.cpu, default: []].insert(report.name(ofThread: record.thread))
    }
    guard let format = recording.formats[record.event] else { return }
    let fields = Fields(format: format, context: recording.context(of: record))
    switch format.name {
    case "ipi_send_cpu":
      addInterrupt(record, to: Int(clamping: fields.number("cpu")), fields)
    case "ipi_send_cpumask":
      for cpu in fields.cpus("cpumask") { addInterrupt(record, to: cpu, fields) }
    case "csd_queue_cpu": queue(record, fields)
    case "csd_function_entry": enter(record, fields)
    case "csd_function_exit": leave(record, fields)
    case "deferred_work_set", "deferred_work_merge", "deferred_work_drain":
      deferral(format.name, record, fields)
    case "context_user_enter":
      inUser[record.cpu] = userSpans.count
      userSpans.append(Span(cpu: record.cpu, name: "user", start: time))
    case "context_user_exit":
      guard let index = inUser.removeValue(forKey: record.cpu) else { break }
      // A clock may go back: nothing ends before it began.
      userSpans[index].end = max(time, userSpans[index].start)
    default: break
    }
  }

  func threadText(_ record: TraceRecord) -> String {
    "\(report.name(ofThread: record.thread))-\(record.thread)"
  }

  private mutating func addInterrupt(_ record: TraceRecord, to target: Int, _ fields: Fields) {
    var callback = fields.function("callback")
    if fields.number("callback") == 0 {
      // A reschedule interrupt runs no function: where it comes from says more than 0x0.
      callback = "none, from \(fields.function("callsite"))"
    } else if callback.hasPrefix("generic_smp_call_function"),
      let function = lastQueued.removeValue(forKey: Pair(thread: record.thread, target: target))
    {
      callback = function
    }
    interrupts.append(
      Interrupt(
        time: record.timestamp, senderCPU: record.cpu, sender: threadText(record), target: target,
        callback: callback))
  }

  private mutating func queue(_ record: TraceRecord, _ fields: Fields) {
    let target = Int(clamping: fields.number("cpu"))
    let work = Work(target: target, address: fields.number("func"))
    queued[work, default: []].append((record.cpu, record.timestamp))
    lastQueued[Pair(thread: record.thread, target: target)] = fields.function("func")
  }

  private mutating func enter(_ record: TraceRecord, _ fields: Fields) {
    let function = fields.number("func")
    let work = Work(target: record.cpu, address: function)
    var origin: (cpu: Int, time: UInt64)?
    if var waiting = queued[work], !waiting.isEmpty {
      origin = waiting.removeFirst()
      queued[work] = waiting
    }
    running[record.cpu, default: []].append((function, calls.count))
    calls.append(
      Span(
        cpu: record.cpu, name: fields.function("func"), start: record.timestamp, origin: origin))
  }

  private mutating func leave(_ record: TraceRecord, _ fields: Fields) {
    let function = fields.number("func")
    guard let last = running[record.cpu]?.last, last.function == function else { return }
    running[record.cpu]?.removeLast()
    calls[last.call].end = max(record.timestamp, calls[last.call].start)
  }

  private mutating func deferral(_ name: String, _ record: TraceRecord, _ fields: Fields) {
    let work = Work(target: Int(clamping: fields.number("cpu")), address: fields.number("work"))
    let time = record.timestamp
    switch (name, pending[work]) {
    case ("deferred_work_drain", let index?):
      deferrals[index].end = max(time, deferrals[index].start)
      pending[work] = nil
    case ("deferred_work_drain", nil):
      // The event that set it is missing; the age says when that was.
      let age = fields.number("age")
      deferrals.append(
        Deferral(
          work: fields.function("work"), target: work.target, start: time - min(age, time),
          end: time))
    case (_, let index?): deferrals[index].merges += 1
    case (_, nil):
      pending[work] = deferrals.count
      deferrals.append(
        Deferral(
          work: fields.function("work"), target: work.target, start: time,
          sender: Sender(cpu: record.cpu, thread: threadText(record))))
    }
  }

  /// An event's fields by their names; what is not there is 0 or empty.
  struct Fields {
    let format: TraceEventFormat
    let context: PrintContext

    func number(_ name: String) -> UInt64 {
      format.field(named: name).map { context.number(of: $0) } ?? 0
    }

    /// The function at an address, or the address.
    func function(_ name: String) -> String {
      let address = number(name)
      return context.symbols.symbol(at: address)?.name ?? "0x" + String(address, radix: 16)
    }

    func cpus(_ name: String) -> [Int] {
      guard let field = format.field(named: name) else { return [] }
      let bytes = context.content(of: field)
      return bytes.indices.flatMap { index in
        (0..<8).filter { bytes[index] >> $0 & 1 == 1 }.map { (index - bytes.startIndex) * 8 + $0 }
      }
    }
  }
}

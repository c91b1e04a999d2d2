// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CPUIsolationTrace

/// Which events a subcommand is about: the options that several of them have.
struct Narrowing: Equatable {
  static let usage = """
      --filter EVENT:EXPR  only this event, and of it only what matches; may be repeated.
                           EVENT is a name such as ipi_send_cpu or ipi/ipi_send_cpu, EXPR
                           as for isolation-trace filter, such as 'cpu & CPUS{2-3}'
      --event GLOB         only events of such names, as 'sched*' or 'irq:*'; may be
                           repeated. One that has a filter besides must match that
      --cpu LIST           only what these CPUs recorded
      --from TIME          only from then on; TIME is as the report prints it
      --to TIME            only until then
      --limit N            at most so many events, the earliest
    """

  /// An event, and what is asked of it.
  struct Filter: Equatable {
    var event: String
    var expression: String
  }

  /// Why nothing can be selected.
  struct Failure: Error {
    var message: String
    /// The kernel's lines about a filter.
    var report = ""
  }

  var filters: [Filter] = []
  var patterns: [String] = []
  var cpus: String?
  var from: ReportTime?
  var to: ReportTime?
  var limit: Int?

  /// Takes an option and its value, if it is one of these.
  mutating func take(
    _ option: String, _ arguments: inout Arguments
  ) throws(UsageError) -> Bool {
    switch option {
    case "--filter":
      let text = try arguments.value(of: option)
      guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
        throw UsageError("--filter wants EVENT:EXPR, not \"\(text)\"")
      }
      filters.append(
        Filter(
          event: String(text[..<colon]), expression: String(text[text.index(after: colon)...])))
    case "--event": patterns.append(try arguments.value(of: option))
    case "--cpu":
      guard cpus == nil else { throw UsageError("--cpu takes one list: \"0-3,7\"") }
      cpus = try arguments.value(of: option)
    case "--from": from = try ReportTime(try arguments.value(of: option), option)
    case "--to": to = try ReportTime(try arguments.value(of: option), option)
    case "--limit":
      let text = try arguments.value(of: option)
      guard let count = Int(text), count > 0 else {
        throw UsageError("--limit wants a number above 0, not \"\(text)\"")
      }
      limit = count
    default: return false
    }
    return true
  }

  /// What is selected of each recording. An event that none of them has is a failure; a recording
  /// that has none of the events gives nothing.
  func selections(
    of recordings: [TraceRecording], isExact: Bool
  ) throws(Failure) -> [TraceSelection] {
    var selections = recordings.map { TraceSelection($0) }
    var named = [Bool](repeating: filters.isEmpty && patterns.isEmpty, count: recordings.count)
    for pattern in patterns {
      try add(&selections, &named) { selection throws(TraceSelection.Failure) in
        try selection.add(matching: pattern)
      }
    }
    for filter in filters {
      try add(&selections, &named) { selection throws(TraceSelection.Failure) in
        try selection.add(filter.event, filter.expression)
      }
    }
    let width = recordings.map(\.cpuCount).max() ?? 1
    var mask: CPUMask?
    if let cpus {
      do {
        mask = try CPUMask(cpuList: cpus, width: width)
      } catch {
        throw Failure(message: "--cpu \(cpus): \(error.message) (there are \(width) CPUs)")
      }
      if mask?.isEmpty == true { throw Failure(message: "--cpu \(cpus): no CPU") }
    }
    for (index, recording) in recordings.enumerated() {
      selections[index].cpus = mask
      selections[index].limit = named[index] ? limit : 0
      selections[index].times = try times(of: recording, isExact: isExact)
    }
    return selections
  }

  private func add(
    _ selections: inout [TraceSelection], _ named: inout [Bool],
    _ body: (inout TraceSelection) throws(TraceSelection.Failure) -> Void
  ) throws(Failure) {
    var failure: Failure?
    var isKnown = false
    for index in selections.indices {
      do {
        try body(&selections[index])
        isKnown = true
        named[index] = true
      } catch {
        guard case .filter(_, let reason) = error else {
          failure = failure ?? Failure(message: "\(error)")
          continue
        }
        throw Failure(message: "\(error)", report: reason.report)
      }
    }
    if !isKnown, let failure { throw failure }
  }

  private func times(
    of recording: TraceRecording, isExact: Bool
  ) throws(Failure) -> ClosedRange<UInt64>? {
    guard from != nil || to != nil else { return nil }
    let counts = recording.buffers.allSatisfy(\.countsNanoseconds)
    var bounds: [UInt64] = [0, .max]
    for (index, time) in [from, to].enumerated() {
      guard let time else { continue }
      guard let range = time.stamps(countsNanoseconds: counts, isExact: isExact) else {
        throw Failure(
          message: "\(time.text) is no time of this recording: its clock, "
            + "\(recording.buffers[0].clock), counts ticks")
      }
      bounds[index] = index == 0 ? range.lowerBound : range.upperBound
    }
    guard bounds[0] <= bounds[1] else {
      throw Failure(message: "--from \(from?.text ?? "") is after --to \(to?.text ?? "")")
    }
    return bounds[0]...bounds[1]
  }

  /// What to say where a window of time has no event.
  func complaint(
    about recordings: [TraceRecording], hasEvents: Bool
  ) -> String? {
    guard !hasEvents, from != nil || to != nil else { return nil }
    var first: UInt64?
    var last: UInt64?
    for record in recordings.flatMap({ $0.records() }) {
      first = min(first ?? .max, record.timestamp)
      last = max(last ?? 0, record.timestamp)
    }
    guard let first, let last, let recording = recordings.first else { return nil }
    let counts = recording.buffers.allSatisfy(\.countsNanoseconds)
    func text(_ stamp: UInt64) -> String { ReportTime(stamp, countsNanoseconds: counts).text }
    return "nothing is selected between \(from?.text ?? "the start") and \(to?.text ?? "the end"); "
      + "what was recorded goes from \(text(first)) to \(text(last))"
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// One recording as a page shows it: made in one pass, in memory that does not grow with it.
struct PagePart {
  struct SeriesKey: Hashable {
    var cpu: Int
    var activity: TraceActivity
  }
  struct Source: Hashable {
    var activity: TraceActivity
    var name: Int32
  }
  struct Work: Hashable {
    var work: Int32
    var target: Int
  }

  let title: String
  let countsNanoseconds: Bool
  private(set) var timeline: TraceTimeline
  private(set) var series: [SeriesKey: MarkSeries] = [:]
  private(set) var scale = BinScale()
  private(set) var identities = PageIdentities()
  /// By CPU and activity; threads by their name too, until it is known which of them the CPU is
  /// for.
  private(set) var ledger: [SeriesKey: PageTotal] = [:]
  private(set) var sources: [Source: (total: PageTotal, cpus: Set<Int>)] = [:]
  private(set) var sends: [PageSends.Key: PageSends] = [:]
  private(set) var waits: [Work: PageWaits] = [:]
  private(set) var losses: [(cpu: Int, time: UInt64, loss: TraceLoss)] = []
  private(set) var lossCount = 0
  private(set) var damage: [TraceFileError] = []
  private(set) var isolated: Set<Int>
  private var threads: [Int: [Int32: PageTotal]] = [:]
  private var senders: Set<Int> = []
  private var markCount = 0
  private var thinnedCount = 0
  private let mostMarks: Int

  /// Of all series together, which bounds the memory and the page.
  private static let mostBins = 1 << 19
  /// One each would fill a page.
  private static let mostSeries = 1 << 15
  /// So many losses are told one by one.
  private static let mostLosses = 50

  init(
    _ recording: TraceRecording, title: String, isolated known: CPUMask?, mostMarks: Int = 1 << 18
  ) {
    self.title = title
    self.mostMarks = mostMarks
    isolated = known.map { Set($0) } ?? []
    countsNanoseconds = recording.buffers[0].countsNanoseconds
    timeline = TraceTimeline(recording)
    var records = recording.records()
    while let record = records.next() {
      if timeline.eventCount == 0 { scale.origin = record.timestamp }
      timeline.add(record)
      while !scale.reaches(record.timestamp) { widenBins() }
      for occurrence in timeline.occurrences { add(occurrence) }
    }
    timeline.finish()
    for occurrence in timeline.occurrences { add(occurrence) }
    damage = records.damage
    tellThreads()
    if known == nil { guessIsolated() }
  }

  var first: UInt64 { timeline.range?.lowerBound ?? 0 }
  var length: UInt64 { timeline.range.map { $0.upperBound - $0.lowerBound } ?? 0 }

  /// The CPUs that have something to show, isolated ones first.
  var cpus: [Int] {
    let all = Set(series.keys.map(\.cpu)).union(senders)
    return all.sorted { (isolated.contains($0) ? 0 : 1, $0) < (isolated.contains($1) ? 0 : 1, $1) }
  }

  // MARK: Counting

  private mutating func add(_ occurrence: TraceOccurrence) {
    switch occurrence {
    case .sent(let interrupt): add(interrupt)
    case .ended(let span), .happened(let span): add(span)
    case .drained(let deferral): add(deferral)
    case .lost(let cpu, let time, let loss):
      lossCount += 1
      if losses.count < Self.mostLosses { losses.append((cpu, time, loss)) }
    case .queued, .began, .deferred, .merged, .counted, .other: break
    }
  }

  private mutating func add(_ interrupt: TraceInterrupt) {
    let origin = interrupt.origin
    senders.insert(origin.cpu)
    let key = PageSends.Key(sender: origin.thread, callback: interrupt.callback)
    sends[key, default: PageSends()].targets[interrupt.target, default: 0] += 1
    if let callsite = origin.callsite, sends[key]?.callsites.count ?? 0 < 4 {
      sends[key]?.callsites.insert(callsite)
    }
    ledger[SeriesKey(cpu: interrupt.target, activity: .ipi), default: PageTotal()].count += 1
    mark(
      interrupt.target, start: origin.time, duration: nil,
      PageIdentity(
        activity: .ipi, name: interrupt.callback, sender: origin.thread, senderCPU: origin.cpu,
        callsite: origin.callsite))
  }

  private mutating func add(_ span: TraceSpan) {
    if span.activity == .thread {
      // A CPU that idles has no thread to disturb.
      if timeline.names[span.thread] == "<idle>-0" { return }
      threads[span.cpu, default: [:]][span.thread, default: PageTotal()].add(span)
    } else if span.activity.isDisturbance {
      ledger[SeriesKey(cpu: span.cpu, activity: span.activity), default: PageTotal()].add(span)
      let source = Source(activity: span.activity, name: span.name)
      sources[source, default: (PageTotal(), [])].total.add(span)
      sources[source]?.cpus.insert(span.cpu)
    }
    mark(
      span.cpu, start: span.start, duration: span.duration,
      PageIdentity(
        activity: span.activity, name: span.name, sender: span.origin?.thread ?? span.thread,
        senderCPU: span.origin?.cpu, callsite: span.origin?.callsite))
  }

  private mutating func add(_ deferral: TraceDeferral) {
    if let origin = deferral.origin { senders.insert(origin.cpu) }
    waits[Work(work: deferral.work, target: deferral.target), default: PageWaits()].add(deferral)
    mark(
      deferral.target, start: deferral.start, duration: deferral.wait,
      PageIdentity(
        activity: .deferral, name: deferral.work, sender: deferral.origin?.thread,
        senderCPU: deferral.origin?.cpu, callsite: deferral.origin?.callsite),
      merges: deferral.merges)
  }

  // MARK: Marks

  private mutating func mark(
    _ cpu: Int, start: UInt64, duration: UInt64?, _ identity: PageIdentity, merges: Int = 0
  ) {
    let number = identities.number(of: identity, else: timeline.names.number(of: "others"))
    let mark = MarkSeries.Mark(
      start: start, duration: duration, identity: number, merges: Int32(clamping: merges))
    let key = SeriesKey(cpu: cpu, activity: identity.activity)
    // A damaged recording may name a new CPU in each record.
    if series.count == Self.mostSeries, series[key] == nil { return }
    if series[key, default: MarkSeries()].add(mark, scale) { markCount += 1 }
    if markCount > mostMarks { thin() }
  }

  /// Thins those that have the most, so that what is rare keeps every mark.
  private mutating func thin() {
    let most = series.values.map(\.marks.count).max() ?? 0
    for key in series.keys where series[key]?.marks.count ?? 0 > most / 2 { thin(key) }
  }

  mutating func thin(_ key: SeriesKey) {
    markCount -= series[key]?.marks.count ?? 0
    if series[key]?.bins.isEmpty == true { thinnedCount += 1 }
    series[key]?.thin(scale)
    markCount += series[key]?.marks.count ?? 0
    while thinnedCount * scale.count > Self.mostBins, scale.count > 128 { halveBins() }
  }

  private mutating func widenBins() {
    scale.shift += 1
    for key in series.keys { series[key]?.widenBins() }
  }

  private mutating func halveBins() {
    (scale.shift, scale.count) = (scale.shift + 1, scale.count / 2)
    for key in series.keys where series[key]?.bins.isEmpty == false { series[key]?.halveBins() }
  }

  // MARK: What the end tells

  /// The thread that ran longest is the one that a CPU is for; the others disturb it.
  private mutating func tellThreads() {
    for (cpu, totals) in threads {
      let own = totals.max { $0.value.time < $1.value.time }?.key
      let key = SeriesKey(cpu: cpu, activity: .thread)
      for (thread, total) in totals where thread != own {
        ledger[key, default: PageTotal()] += total
        let source = Source(activity: .thread, name: thread)
        sources[source, default: (PageTotal(), [])].total += total
        sources[source]?.cpus.insert(cpu)
      }
      series[key]?.remove { identities.all[Int($0.identity)].sender == own }
      if series[key]?.marks.isEmpty == true { series[key] = nil }
    }
    threads = [:]
  }

  /// CPUs that go to user, or that work was left for; where neither was recorded, those that are
  /// sent to and send nothing.
  private mutating func guessIsolated() {
    isolated = Set(
      series.keys.filter { $0.activity == .user || $0.activity == .deferral }.map(\.cpu))
    if isolated.isEmpty {
      isolated = Set(series.keys.filter { $0.activity == .ipi }.map(\.cpu)).subtracting(senders)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

/// When the reclaimer looks at which domain: what its lock protects. Times are monotonic nanoseconds.
struct HazardSchedule: Sendable {
  /// Why a pass is due.
  enum Reason: Sendable {
    /// A batch was begun, and nobody looks after the domain: when its objects are old enough.
    case batchBegan
    /// Full batches make it worth its while: now, and of these alone.
    case manyObjects
    /// What waits holds as many bytes as may wait: now.
    case manyBytes
  }

  /// How a pass ended.
  struct Outcome {
    /// Whether it took batches that are not full as well.
    var tookAll: Bool
    /// Whether readers or CPUs hold something back, or another thread was at it.
    var isUnfinished: Bool
    /// Whether the reclaimers that it ran have retired more: a chain.
    var hasRetired: Bool
    /// What the alarm said before.
    var batches: UInt64
  }

  private struct Entry: Sendable {
    weak var domain: HazardDomain?
    let maximumAge: UInt64
    /// When everything is to be looked at; nil while nobody looks after the domain.
    var dueAt: UInt64? = nil
    /// Whether full batches are to be looked at before.
    var isPassDue = false
    /// How long the next look at what readers hold back waits.
    var retry = HazardSchedule.firstRetry
    /// How many passes in a row found what the one before had retired.
    var links = 0
    /// What the domain's alarm said when nobody looked any more.
    var resting: UInt64 = 0

    init(_ domain: HazardDomain) {
      self.domain = domain
      maximumAge = domain.maximumAge.wholeNanoseconds
    }

    mutating func isDue(by time: UInt64) { dueAt = min(dueAt ?? .max, time) }
  }

  private var entries: [ObjectIdentifier: Entry] = [:]
  /// Whether the alarms have to be looked at: there may be threads that do not ring.
  var looksUnasked = false

  /// How long a pass waits for readers that still protect something; twice as long each time, up to
  /// the domain's `maximumAge`.
  private static let firstRetry: UInt64 = 1_000_000
  /// How many objects of a chain go one after the other before the thread lets others run.
  private static let linksAtOnce = 1024

  var isEmpty: Bool { entries.isEmpty }

  /// The domains that are there.
  var domains: [HazardDomain] { entries.values.compactMap(\.domain) }

  mutating func add(_ domain: HazardDomain) {
    entries[ObjectIdentifier(domain)] = Entry(domain)
  }

  mutating func remove(_ domain: ObjectIdentifier) { entries[domain] = nil }

  /// Notes that a pass is due; whether the thread has to be woken for it.
  mutating func note(_ domain: HazardDomain, _ reason: Reason, at now: UInt64) -> Bool {
    let number = ObjectIdentifier(domain)
    // In the child of a fork it may be unknown.
    var entry = entries[number] ?? Entry(domain)
    let before = entry.isPassDue ? 0 : entry.dueAt
    switch reason {
    case .batchBegan: entry.isDue(by: now + entry.maximumAge)
    case .manyObjects:
      entry.isPassDue = true
      entry.isDue(by: now + entry.maximumAge)
    case .manyBytes: entry.isDue(by: now)
    }
    domain.core.scan.alarm.setWatched(true)
    entries[number] = entry
    return before != (entry.isPassDue ? 0 : entry.dueAt)
  }

  /// The same where a thread has begun a batch and has not rung.
  mutating func listen(to domain: HazardDomain, at now: UInt64) {
    guard let entry = entries[ObjectIdentifier(domain)], entry.dueAt == nil,
      domain.core.scan.alarm.isCalling(since: entry.resting)
    else { return }
    // It may be as old as the pause since we listened last.
    _ = note(domain, .manyBytes, at: now)
  }

  /// What is due.
  func due(at now: UInt64) -> [ObjectIdentifier] {
    entries.filter { $0.value.isPassDue || ($0.value.dueAt ?? .max) <= now }.map(\.key)
  }

  /// How long nothing is due; nil until somebody rings.
  func pause(at now: UInt64) -> Duration? {
    var next = UInt64.max
    var least = UInt64.max
    for entry in entries.values {
      next = min(next, entry.isPassDue ? now : entry.dueAt ?? .max)
      least = min(least, max(entry.maximumAge, Self.firstRetry))
    }
    if looksUnasked, least != .max { next = min(next, now + least) }
    return next == .max ? nil : .nanoseconds(Int64(clamping: next < now ? 0 : next - now))
  }

  /// A pass begins: the domain, if it is still there, and whether everything is due.
  mutating func begin(_ number: ObjectIdentifier, at now: UInt64) -> (HazardDomain, Bool)? {
    guard let domain = entries[number]?.domain else { return nil }
    let isDue = (entries[number]?.dueAt ?? .max) <= now
    entries[number]?.isPassDue = false
    if isDue { entries[number]?.dueAt = nil }
    return (domain, isDue)
  }

  /// A pass has ended: when the next one is due, if any is.
  mutating func end(_ domain: HazardDomain, _ outcome: Outcome, at now: UInt64) {
    guard var entry = entries[ObjectIdentifier(domain)] else { return }
    defer { entries[ObjectIdentifier(domain)] = entry }
    if outcome.tookAll && outcome.hasRetired {
      entry.links += 1
      return entry.isDue(
        by: entry.links.isMultiple(of: Self.linksAtOnce) ? now + Self.firstRetry : now)
    }
    entry.links = 0
    if outcome.isUnfinished {
      entry.isDue(by: now + min(entry.retry, entry.maximumAge))
      entry.retry = min(entry.retry * 2, max(entry.maximumAge, Self.firstRetry))
      return
    }
    entry.retry = Self.firstRetry
    guard outcome.tookAll, entry.dueAt == nil else { return }
    if let resting = domain.core.scan.alarm.rest(since: outcome.batches) {
      entry.resting = resting
    } else {
      entry.isDue(by: now + entry.maximumAge)
    }
  }
}

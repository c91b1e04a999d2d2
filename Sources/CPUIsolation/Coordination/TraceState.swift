// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What a coordinator keeps of its trace, under its lock.
struct TraceState {
  /// The events that users have declared, after the built-in ones.
  var declared: [TraceEventFormat] = []
  /// The events that the tracer records, a bit each.
  var recorded: UInt64 = 0
  /// The events whose static probes a tool watches.
  var watched: UInt64 = 0
  /// The events that the paths hand on, for either.
  var traced: UInt64 { recorded | watched }
  private var filters: [Int: TraceFilter] = [:]
  /// Filters that somebody may still look at: a CPU, or a reader who is counted on one of the sides.
  private var retired: [(filter: TraceFilter, wait: GracePeriodWait, sides: UInt64)] = []
  /// Names of work types, by the number of the registration: those of the last ones, since events
  /// outlive registrations.
  private var workNames: [(registration: UInt64, name: String)] = []

  /// Names of threads that were CPUs: events outlive threads, and the system forgets them.
  private(set) var threadNames: [Int32: String] = [:]

  private static let workNamesKept = 1024
  private static let threadNamesKept = 1024

  mutating func name(thread: Int32, _ name: String) {
    if threadNames.count >= Self.threadNamesKept { threadNames.removeAll() }
    threadNames[thread] = name
  }

  mutating func name(_ registration: UInt64, _ name: String) {
    if workNames.count == Self.workNamesKept { workNames.removeFirst() }
    workNames.append((registration, name))
  }

  /// The names of work types as symbols.
  var symbols: [SymbolTable.Symbol] {
    workNames.map {
      let address = TraceAddress.work($0.registration)
      return SymbolTable.Symbol($0.name, address..<address + TraceAddress.workSize)
    }
  }

  /// All events that there are, in the order of their indices.
  var formats: [TraceEventFormat] { TraceEventFormat.builtIn + declared }

  func event(of format: TraceEventFormat) -> TraceEvent? {
    formats.firstIndex { $0.id == format.id && $0.name == format.name }
      .map { TraceEvent(index: $0, number: UInt16(format.id)) }
  }

  /// Puts a filter in the place of the event's, and frees old ones that nobody can look at.
  mutating func setFilter(
    _ filter: TraceFilter?, of event: TraceEvent, in buffers: TraceBuffers, _ slots: CPUSlots
  ) {
    let old = filters[event.index]
    buffers.setFilter(filter?.program, of: event.index)
    filters[event.index] = filter
    if let old {
      retired.append((old, GracePeriodWait(slots, excluding: nil), TraceBuffers.bothSides))
    }
    freeRetired(buffers, slots)
  }

  mutating func freeRetired(_ buffers: TraceBuffers, _ slots: CPUSlots) {
    if retired.isEmpty { return }
    let unread = buffers.unreadSides()
    for index in retired.indices.reversed() {
      retired[index].sides &= ~unread
      if retired[index].wait.poll(slots), retired[index].sides == 0 { retired.remove(at: index) }
    }
  }

  /// How many filters wait to be freed.
  var retiredFilters: Int { retired.count }

  /// Tells a sender whether its sends are recorded.
  func mark(_ sender: SenderSlot) {
    let sends = TraceEvent.deferredWorkSet.bit | TraceEvent.deferredWorkMerge.bit
    if traced & sends != 0 {
      sender.flags.value.bitwiseOr(SenderFlags.traced, ordering: .relaxed)
    } else {
      sender.flags.value.bitwiseAnd(~SenderFlags.traced, ordering: .relaxed)
    }
  }
}

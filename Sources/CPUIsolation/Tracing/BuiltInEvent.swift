// SPDX-License-Identifier: Apache-2.0

/// The events that the library records itself: the one list of them. The place in it is the event's
/// place among those of a coordinator; its number follows from that; what a record is like, and where
/// call sites stand in it, is what its format says.
enum BuiltInEvent: Int, CaseIterable, Sendable {
  case ipiSendCPU, ipiSendCPUMask, csdQueueCPU, csdFunctionEntry, csdFunctionExit
  case deferredWorkSet, deferredWorkMerge, deferredWorkDrain
  case contextUserEnter, contextUserExit
  case gracePeriod, tlbFlush, textPoke

  /// The number in records.
  var number: Int { 1001 + rawValue }

  /// What its records are like.
  var format: TraceEventFormat {
    switch self {
    case .ipiSendCPU: .ipiSendCPU
    case .ipiSendCPUMask: .ipiSendCPUMask
    case .csdQueueCPU: .csdQueueCPU
    case .csdFunctionEntry: .csdFunctionEntry
    case .csdFunctionExit: .csdFunctionExit
    case .deferredWorkSet: .deferredWorkSet
    case .deferredWorkMerge: .deferredWorkMerge
    case .deferredWorkDrain: .deferredWorkDrain
    case .contextUserEnter: .contextUserEnter
    case .contextUserExit: .contextUserExit
    case .gracePeriod: .gracePeriod
    case .tlbFlush: .tlbFlush
    case .textPoke: .textPoke
    }
  }

  /// Where a record of the event with a number has addresses that may stand for call sites.
  static func siteOffsets(ofNumber number: Int) -> [Int] {
    guard let event = BuiltInEvent(rawValue: number - BuiltInEvent.ipiSendCPU.number) else {
      return []
    }
    return event.format.fields.filter { siteFields.contains($0.name) }.map(\.offset)
  }

  /// The fields that name what sent something, or, as the kernel has it, what is called there.
  private static let siteFields = ["callsite", "callback", "func"]
}

extension TraceEvent {
  /// A built-in event as recording knows it.
  init(_ event: BuiltInEvent) {
    self.init(index: event.rawValue, number: UInt16(event.number))
  }

  static var ipiSendCPU: TraceEvent { TraceEvent(.ipiSendCPU) }
  static var ipiSendCPUMask: TraceEvent { TraceEvent(.ipiSendCPUMask) }
  static var csdQueueCPU: TraceEvent { TraceEvent(.csdQueueCPU) }
  static var csdFunctionEntry: TraceEvent { TraceEvent(.csdFunctionEntry) }
  static var csdFunctionExit: TraceEvent { TraceEvent(.csdFunctionExit) }
  static var deferredWorkSet: TraceEvent { TraceEvent(.deferredWorkSet) }
  static var deferredWorkMerge: TraceEvent { TraceEvent(.deferredWorkMerge) }
  static var deferredWorkDrain: TraceEvent { TraceEvent(.deferredWorkDrain) }
  static var contextUserEnter: TraceEvent { TraceEvent(.contextUserEnter) }
  static var contextUserExit: TraceEvent { TraceEvent(.contextUserExit) }
  static var gracePeriod: TraceEvent { TraceEvent(.gracePeriod) }
  static var tlbFlush: TraceEvent { TraceEvent(.tlbFlush) }
  static var textPoke: TraceEvent { TraceEvent(.textPoke) }
}

// SPDX-License-Identifier: Apache-2.0

/// What threads of a run do, counted where it has been done.
enum Operation: Int, CaseIterable {
  case send, maskSend, payloadSend, ticket, signalSend
  case run
  case entry, safePoint, poll, guest, idle, quiescent, attachment, death
  case gracePeriod, asyncGracePeriod, callback
  case call, post, pooledCall
  case pop, object
  case protection, retirement
  case keyChange, keyLook, staticCall
  case timer
  case mapping, translation
  case probe, probeHit
  case invalidation, cachedLookUp
  case regionChange, regionLookUp
  case traceChange, traceRecord
  case registration, statistics, coordinator, refusal, child

  /// The column that shows it.
  var group: Group {
    switch self {
    case .send, .maskSend, .payloadSend, .ticket, .signalSend: .sends
    case .run: .runs
    case .entry, .safePoint, .poll, .guest, .idle, .quiescent, .attachment, .death: .transitions
    case .gracePeriod, .asyncGracePeriod, .callback: .graces
    case .call, .post, .pooledCall: .calls
    case .pop, .object: .pools
    case .protection, .retirement: .hazards
    case .keyChange, .keyLook, .staticCall: .keys
    case .timer: .timers
    case .mapping, .translation: .pages
    case .probe, .probeHit: .probes
    case .invalidation, .cachedLookUp, .regionChange, .regionLookUp: .lookups
    case .traceChange, .traceRecord: .traces
    case .registration, .statistics, .coordinator, .refusal, .child: .others
    }
  }

  enum Group: String, CaseIterable {
    case sends, runs, transitions, graces, calls, pools, hazards, keys, timers, pages, probes
    case lookups, traces, others
  }
}

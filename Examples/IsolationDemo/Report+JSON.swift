// SPDX-License-Identifier: Apache-2.0

extension Report {
  /// One JSON object on one line.
  var json: String {
    let halves = modes.map(\.json).joined(separator: ",")
    return "{\"modes\":[\(halves)],\"bad_case\":\(badCase.json)}"
  }
}

extension ModeReport {
  fileprivate var json: String {
    let rows = callbacks.map { "\"\($0.callback.name)\":\($0.json)" }.joined(separator: ",")
    return object([
      ("mode", "\"\(mode.rawValue)\""),
      ("callbacks", "{\(rows)}"),
      ("ipis_total", "\(ipis)"),
      ("lost", "\(lost)"),
      ("oldest_pending_us", decimal(oldestPending / .microseconds(1), 3)),
      ("noise", Noise(sumOf: noise).json),
      ("transitions", "\(transitions)"),
    ])
  }
}

extension CallbackCounts {
  fileprivate var json: String {
    object([
      ("sent", "\(sent)"), ("ipis", "\(ipis)"), ("deferred", "\(deferred)"),
      ("queued", "\(queued)"), ("merged", "\(merged)"), ("executed", "\(executed)"),
      ("pending", "\(pending)"), ("gone", "\(gone)"),
    ])
  }
}

extension Noise {
  fileprivate var json: String {
    object([
      ("runtime_us", decimal(runtime, 3)), ("noise_us", decimal(noise, 3)),
      ("percent_available", decimal(percentAvailable, 5)),
      ("max_single_us", decimal(maximumSingle, 3)), ("samples", "\(samples)"),
    ])
  }
}

extension BadCaseReport {
  fileprivate var json: String {
    object([
      ("ns_per_round_trip_idle", decimal(idle, 3)),
      ("ns_per_round_trip_storm", decimal(storm, 3)),
    ])
  }
}

/// Names here are plain words, and need no escapes.
private func object(_ members: [(name: String, value: String)]) -> String {
  "{" + members.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
}

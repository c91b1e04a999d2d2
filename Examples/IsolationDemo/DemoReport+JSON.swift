// SPDX-License-Identifier: Apache-2.0

extension DemoReport {
  /// One JSON object on one line.
  var json: String {
    let halves = modes.map(\.json).joined(separator: ",")
    return "{\"modes\":[\(halves)],\"bad_case\":\(badCase?.json ?? "null")}"
  }
}

extension ModeReport {
  fileprivate var json: String {
    let rows = callbacks.map { "\"\($0.callback.name)\":\($0.json)" }.joined(separator: ",")
    return object([
      ("mode", "\"\(mode.rawValue)\""),
      ("broken", broken.map { string($0.rawValue) } ?? "null"),
      ("callbacks", "{\(rows)}"),
      ("ipis_total", "\(ipis)"),
      ("lost", "\(lost)"),
      ("violations", "\(legality.violations)"),
      ("first_violation", legality.first.map(string) ?? "null"),
      ("checked", object(legality.checked.counts.map { ($0.name, "\($0.count)") })),
      ("patching", string(legality.refusal.map { "refused: \($0)" } ?? "done")),
      ("oldest_pending_us", decimal(oldestPending / .microseconds(1), 3)),
      ("noise", Noise(sumOf: noise).json),
      ("transitions", "\(transitions)"),
      ("trace", traceJSON),
      ("kernel", kernelJSON),
      ("quiet_memory_refused", "[\(quietRefusals.map(string).joined(separator: ","))]"),
    ])
  }
}

extension ModeReport {
  private var traceJSON: String {
    let filters = traced.recorded.map { ($0.format.name, string($0.filter)) }
    let ipis = traced.ipis.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
    return object([
      ("filters", object(filters)), ("events", "\(traced.events)"), ("lost", "\(traced.lost)"),
      ("ipis", object(ipis)), ("equals_statistics", agreement.json),
    ])
  }

  private var kernelJSON: String {
    guard let kernel, let kernelAgreement else { return "null" }
    let interrupts = kernel.rows.map { kind, count in
      object([
        ("callback", string(kind.callback)), ("call_site", string(kind.callSite)),
        ("sender", string(kind.sender)), ("process", string(kind.origin.rawValue)),
        ("inside_an_interrupt", "\(kind.isFromInterrupt)"),
        ("carries_our_signal", "\(kind.isOurSignal)"),
        ("set_up", "\(count.setUp)"), ("run", "\(count.run)"),
      ])
    }
    let rest = kernel.ownRest.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value.run)") }
    return object([
      ("refused", kernel.refusal.map(string) ?? "null"),
      ("processors", string("\(kernel.processors)")),
      ("interrupts", "[\(interrupts.joined(separator: ","))]"),
      ("interrupts_total", "\(kernel.interrupts)"),
      ("own_besides_signals_after_set_up", object(rest)),
      ("signals", "\(kernel.signals)"),
      ("signals_with_interrupt", "\(kernel.signalInterrupts)"),
      ("lost", "\(kernel.lost)"), ("equals_statistics", kernelAgreement.json),
    ])
  }
}

extension IPICounts.Agreement {
  fileprivate var json: String {
    switch self {
    case .equal: "true"
    case .different: "false"
    case .notMade: "null"
    }
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

private func object(_ members: [(name: String, value: String)]) -> String {
  "{" + members.map { "\(string($0.name)):\($0.value)" }.joined(separator: ",") + "}"
}

private func string(_ text: String) -> String {
  var json = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"", "\\": json += "\\\(scalar)"
    case _ where scalar.value < 0x20:
      let digits = String(scalar.value, radix: 16)
      json += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: json.unicodeScalars.append(scalar)
    }
  }
  return json + "\""
}

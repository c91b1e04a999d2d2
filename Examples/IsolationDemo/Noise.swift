// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What was taken from isolated loops, in the terms of the osnoise tracer and in microseconds.
struct Noise: Equatable, Sendable {
  /// Nil for a sum.
  var cpu: Int?
  var runtime = 0.0
  var noise = 0.0
  var maximumSingle = 0.0
  var samples: UInt64 = 0
  var signals: UInt64 = 0
  var drains: UInt64 = 0
  var unknown: UInt64 = 0

  init(cpu: Int, _ report: NoiseMeter.Report) {
    self.cpu = cpu
    runtime = report.runtime / .microseconds(1)
    noise = report.noise / .microseconds(1)
    maximumSingle = report.maximumSingle / .microseconds(1)
    samples = report.samples
    signals = report.signals
    drains = report.drains
    unknown = report.unknown
  }

  /// A loop that has not run yet.
  init(cpu: Int) { self.cpu = cpu }

  /// All loops together: times add up, and the longest gap is the longest of any.
  init(sumOf parts: [Noise]) {
    for part in parts { add(part) }
  }

  /// One stay more.
  mutating func add(_ report: NoiseMeter.Report) { add(Noise(cpu: 0, report)) }

  private mutating func add(_ part: Noise) {
    runtime += part.runtime
    noise += part.noise
    maximumSingle = max(maximumSingle, part.maximumSingle)
    samples += part.samples
    signals += part.signals
    drains += part.drains
    unknown += part.unknown
  }

  var percentAvailable: Double { runtime == 0 ? 100 : 100 * (1 - noise / runtime) }
}

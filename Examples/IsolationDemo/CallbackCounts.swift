// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What became of the sends of one callback to isolated CPUs.
struct CallbackCounts: Equatable, Sendable {
  var callback: Callback
  var sent: UInt64 = 0
  /// Signals that were sent to isolated CPUs.
  var ipis: UInt64 = 0
  var deferred: UInt64 = 0
  var queued: UInt64 = 0
  var merged: UInt64 = 0
  var executed: UInt64 = 0
  var pending: UInt64 = 0
  var gone: UInt64 = 0

  init(_ callback: Callback) { self.callback = callback }

  mutating func add(_ counts: Coordinator.Statistics.Work) {
    sent += counts.sent
    ipis += counts.interrupted
    deferred += counts.deferred
    queued += counts.queued
    merged += counts.merged
    executed += counts.executed
    pending += counts.pending
    gone += counts.gone
  }

  var isBalanced: Bool { sent == executed + merged + pending + gone }
}

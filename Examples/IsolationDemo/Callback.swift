// SPDX-License-Identifier: Apache-2.0

/// One row of the load: what housekeepers send to isolated CPUs, and how often.
///
/// The proportions are those of the experiment that "defer some IPIs until a user->kernel
/// transition" (V. Schneider, 2023) was measured with, on 80 processors in 20 minutes: 576
/// do_sync_core, 236 do_flush_tlb_all, 309 nohz_full_kick, and, of calls that nothing could defer,
/// 24. Here the twenty minutes pass in `period`. It had no flush_tlb_range; here there are three, of
/// a page each, for each flush_tlb_all.
///
/// Of two bursts one is counted by the witness, and one is what such a send is for: code is
/// patched, a mapping is changed, a timer brought forward.
enum Callback: Int, CaseIterable, Sendable {
  case syncCore
  case flushTLBAll
  case flushTLBRange
  case nohzKick
  /// A call of a function: it has no type, so it cannot be deferred.
  case plainCall

  static let period = Duration.milliseconds(2500)
  static let deferrable: [Callback] = [.syncCore, .flushTLBAll, .flushTLBRange, .nohzKick]
  /// Those that the experiment had.
  static let original: [Callback] = [.syncCore, .flushTLBAll, .nohzKick]

  var name: String {
    switch self {
    case .syncCore: "sync_core"
    case .flushTLBAll: "flush_tlb_all"
    case .flushTLBRange: "flush_tlb_range"
    case .nohzKick: "nohz_kick"
    case .plainCall: "plain_call"
    }
  }

  /// Sends per period, over all housekeepers.
  var sendsPerPeriod: Int {
    switch self {
    case .syncCore: 576
    case .flushTLBAll: 236
    case .flushTLBRange: 3 * 236
    case .nohzKick: 309
    case .plainCall: 24
    }
  }

  /// Sends that come together. Patching one place in program text synchronises the cores after each
  /// of its three steps, and an unmapping that frees a range flushes before and after.
  var burst: Int {
    switch self {
    case .syncCore: 3
    case .flushTLBAll: 2
    case .flushTLBRange, .nohzKick, .plainCall: 1
    }
  }

  /// Whether a send goes to all isolated CPUs, or to one of them in turn.
  var isBroadcast: Bool {
    switch self {
    case .syncCore, .flushTLBAll, .flushTLBRange: true
    case .nohzKick, .plainCall: false
    }
  }

  /// The time between two bursts of one of so many housekeepers.
  func interval(housekeepers: Int) -> Duration {
    Self.period * (burst * housekeepers) / sendsPerPeriod
  }
}

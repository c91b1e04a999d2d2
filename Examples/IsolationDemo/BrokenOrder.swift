// SPDX-License-Identifier: Apache-2.0

/// An order that is wrong on purpose, for the check to catch: what `--break` asks for.
///
/// Each differs from what ships in one place. All three are in the translations that the demo makes
/// by hand: `AddressSpace` gives nobody a way to write them.
enum BrokenOrder: String, CaseIterable, Sendable {
  /// A handler that drains before the flush reads through the cache.
  case earlyTouch = "early-touch"
  /// Frames are handed out again first, and waited for afterwards.
  case reuse
  /// The CPU catches up first, and publishes that it is in kernel afterwards: what is sent in
  /// between is left to nobody. The seventh version of the kernel's patches had this one.
  case flagAfterFlush = "flag-after-flush"

  /// What is wrong, for all output of such a run.
  var sentence: String {
    let what =
      switch self {
      case .earlyTouch: "a handler reads through cached translations before their flush has run"
      case .reuse: "frames are handed out again before every CPU has dropped them"
      case .flagAfterFlush: "CPUs catch up first, and say afterwards that they are in kernel"
      }
    return "BROKEN ON PURPOSE (--break \(rawValue)): \(what)"
  }
}

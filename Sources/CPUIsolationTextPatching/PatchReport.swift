// SPDX-License-Identifier: Apache-2.0

/// What a patch did.
///
///     let report = try patcher.patch(route, to: .nop)
///     print(report)  // 1 site in 3 rounds; synchronized: 2 deferred, 1 executed; 4 traps
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: for the text
public struct PatchReport: Hashable, Sendable, CustomStringConvertible {
  /// Sites whose instruction changed.
  public internal(set) var sites: Int = 0
  /// Sites that had the instruction already.
  public internal(set) var unchanged: Int = 0
  /// How often all CPUs were brought up to date: three times on x86-64, once on arm64.
  public internal(set) var rounds: Int = 0
  /// Synchronizations, CPU by CPU and round by round, that were left to a CPU's next entry: it was
  /// outside kernel, and was not disturbed.
  public internal(set) var deferred: Int = 0
  /// Those that had been executed when the round ended: the CPU was in kernel, and was waited for,
  /// or came in by itself.
  public internal(set) var executed: Int = 0
  /// How often a CPU met the breakpoint meanwhile: a signal, a few microseconds for that CPU.
  public internal(set) var traps: Int = 0

  public var description: String {
    "\(sites) \(sites == 1 ? "site" : "sites") in \(rounds) rounds; synchronized: "
      + "\(deferred) deferred, \(executed) executed; \(traps) traps"
  }
}

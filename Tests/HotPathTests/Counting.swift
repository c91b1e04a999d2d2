// SPDX-License-Identifier: Apache-2.0

import CCounters
import Testing

/// What a piece of code did, on the thread that ran it.
struct Counting: CustomStringConvertible {
  let allocations: Int
  let retains: Int
  let releases: Int

  var description: String {
    "\(allocations) allocations, \(retains) retains, \(releases) releases"
  }

  /// Runs `operation` again and again, and counts.
  @inline(never)
  static func of(_ rounds: Int, _ operation: () -> Void) -> Counting {
    ccounters_begin()
    for _ in 0..<rounds { operation() }
    let counters = ccounters_end()
    return Counting(
      allocations: Int(counters.allocations), retains: Int(counters.retains),
      releases: Int(counters.releases))
  }

  /// What the operation is allowed.
  enum Allowance {
    /// Nothing at all.
    case nothing
    /// Reference counts of a value that holds the coordinator, but no allocation.
    case referenceCounts
    /// Nothing in release; in debug, where generic code of the standard library is not specialised, anything.
    case nothingInRelease
  }

  /// Expects an operation to be free of allocations, and of reference counts in release: without optimisation the compiler
  /// counts references for every use of an object.
  ///
  /// An operation that waits has to say so: without optimisation it counts as often as it looks, which is another number in
  /// each run, and what it counted cannot be told from the seed's.
  static func expectFree(
    _ allowance: Allowance = .nothing, rounds: Int = 1000, waits: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation, _ operation: () -> Void
  ) {
    // Whatever is made on first use is made here.
    for _ in 0..<10 { operation() }
    let counts = of(rounds, operation)
    #if DEBUG
      let maySpend = (allocations: allowance == .nothingInRelease, counts: true)
    #else
      let maySpend = (allocations: false, counts: allowance == .referenceCounts)
    #endif
    #expect(
      maySpend.allocations || counts.allocations == 0, "\(counts) in \(rounds) rounds",
      sourceLocation: sourceLocation)
    #expect(
      maySpend.counts || counts.retains == 0 && counts.releases == 0,
      "\(counts) in \(rounds) rounds", sourceLocation: sourceLocation)
    let planted = of(rounds) {
      operation()
      Seed.plant()
    }
    #expect(
      planted.allocations >= rounds
        && (maySpend.allocations || planted.allocations == counts.allocations + rounds),
      "the seed was not counted: \(planted)", sourceLocation: sourceLocation)
    // At least one more a round: beside the seed the optimiser may keep what the operation captures.
    #if DEBUG
      let others = waits ? 0 : counts.retains
    #else
      let others = counts.retains
    #endif
    #expect(
      planted.releases >= rounds && planted.retains >= others + rounds,
      "the seed was not counted: \(planted), without it \(counts)", sourceLocation: sourceLocation)
  }
}

/// One allocation and one reference count that nobody can optimise away.
private final class Seed {
  nonisolated(unsafe) private static var first: Seed? = nil
  nonisolated(unsafe) private static var second: Seed? = nil
  private var padding = (0, 0)

  @inline(never)
  static func plant() {
    let seed = Seed()
    unsafe first = seed
    unsafe second = seed
  }
}

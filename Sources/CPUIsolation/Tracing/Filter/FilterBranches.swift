// SPDX-License-Identifier: Apache-2.0

/// The order in which predicates are asked, and where each answer leads.
///
/// There is one entry per predicate, in the order of the text. An entry leads to its target if its
/// predicate's answer is `branchWhen`, else to the next entry. After the last predicate's entry
/// are two places, acceptance and refusal.
///
/// While an expression is read, an entry leads after its target: to where a run goes on when its
/// last entry, the target, does not branch. And an entry whose target is not known yet holds the
/// previous one that waits for the same thing, so that the chain needs no memory of its own.
struct FilterBranches: Equatable {
  struct Entry: Equatable {
    var target: Int
    var branchWhen = false
    /// Whether an odd number of `!` applies to the predicate.
    var isInverted: Bool
  }

  private(set) var entries: [Entry] = []

  /// The place that accepts; the one after it refuses.
  var acceptance: Int { entries.count }

  mutating func appendPredicate(inverted: Bool) {
    entries.append(Entry(target: entries.count - 1, isInverted: inverted))
  }

  /// Closes a run of `&&` or of `||` after its last predicate: the ones before it that wait are
  /// left when the run is decided, that is when one of them is `answer`. They go to wherever the
  /// last one will go.
  mutating func closeRun(on answer: Bool) {
    let last = entries.count - 1
    let waiting = entries[last].target
    entries[last].target = entries[waiting].target
    entries[waiting].target = last
    entries[waiting].branchWhen = answer
  }

  /// Gives every entry its final target, the place to go on at. Returns whether all lead forward.
  ///
  /// They do but for one kind of text, which ends in an operator that the reading has taken while
  /// another run was still open, as `a || b &&`.
  mutating func finish() -> Bool {
    let last = entries.count - 1
    entries[last].target = acceptance
    for index in entries.indices.dropLast().reversed() {
      guard entries[index].target > index else { return false }
      // After the target one would be if it had not branched; with this answer it does.
      let target = entries[entries[index].target]
      if entries[index].branchWhen == target.branchWhen { entries[index].target = target.target }
    }
    for index in entries.indices {
      entries[index].target += 1
      if entries[index].isInverted { entries[index].branchWhen.toggle() }
    }
    return true
  }
}

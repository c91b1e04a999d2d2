// SPDX-License-Identifier: Apache-2.0

extension CPUMask: Hashable {
  /// Tells whether two masks have the same members, however they came to have them.
  ///
  /// `CPUMask.all(2) == [0, 1]`
  ///
  /// - Source: `cpumask_equal` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public static func == (left: CPUMask, right: CPUMask) -> Bool {
    switch (left.storage, right.storage) {
    case (.inline(let low, let high), .inline(let otherLow, let otherHigh)):
      return low == otherLow && high == otherHigh
    case (.heap(let words), .heap(let otherWords)):
      return words == otherWords
    case (.inline, .heap), (.heap, .inline):
      return false
    }
  }

  /// Feeds the members to a hasher.
  ///
  /// `[CPUMask: String]` is a dictionary by set of CPUs.
  ///
  /// - Parameter hasher: what they are fed to.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func hash(into hasher: inout Hasher) {
    switch storage {
    case .inline(let low, let high):
      hasher.combine(low)
      hasher.combine(high)
    case .heap(let words):
      hasher.combine(words)
    }
  }
}

extension CPUMask {
  /// Tells whether every member of this mask is a member of the other.
  ///
  /// `CPUMask(1).isSubset(of: [1, 2])`
  ///
  /// - Parameter other: the larger mask, if the answer is to be `true`.
  /// - Returns: `true` also for equal masks, and for an empty one.
  /// - Source: `cpumask_subset` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func isSubset(of other: CPUMask) -> Bool {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      return (low & ~otherLow) | (high & ~otherHigh) == 0
    }
    return isSubsetSlow(of: other)
  }

  /// Tells whether every member of the other mask is a member of this one.
  ///
  /// `CPUMask.all(4).isSuperset(of: [1, 2])`
  ///
  /// - Parameter other: the smaller mask, if the answer is to be `true`.
  /// - Returns: `true` also for equal masks, and if the other one is empty.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func isSuperset(of other: CPUMask) -> Bool { other.isSubset(of: self) }

  /// Tells whether the masks have no member in common.
  ///
  /// `CPUMask(1).isDisjoint(with: [2, 3])`
  ///
  /// - Parameter other: the mask to compare with.
  /// - Returns: `true` also if either is empty.
  /// - Source: the opposite of `cpumask_intersects` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func isDisjoint(with other: CPUMask) -> Bool {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      return (low & otherLow) | (high & otherHigh) == 0
    }
    return isDisjointSlow(with: other)
  }

  @usableFromInline @inline(never)
  func isSubsetSlow(of other: CPUMask) -> Bool {
    // The last word that counts is not zero, so a mask with more of them cannot be a subset.
    let count = wordCount
    guard count <= other.wordCount else { return false }
    for index in 0..<count where word(at: index) & ~other.word(at: index) != 0 { return false }
    return true
  }

  @usableFromInline @inline(never)
  func isDisjointSlow(with other: CPUMask) -> Bool {
    for index in 0..<Swift.min(wordCount, other.wordCount)
    where word(at: index) & other.word(at: index) != 0 { return false }
    return true
  }
}

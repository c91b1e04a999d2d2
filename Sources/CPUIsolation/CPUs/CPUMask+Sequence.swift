// SPDX-License-Identifier: Apache-2.0

extension CPUMask: Sequence {
  /// Yields the members of a mask in ascending order.
  ///
  /// ```swift
  /// var cpus = mask.makeIterator()
  /// while let cpu = cpus.next() { … }
  /// ```
  ///
  /// It works on its own copy of the mask: changing the mask during the loop does not change the
  /// loop.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @frozen
  public struct Iterator: IteratorProtocol, Sendable {
    @usableFromInline let mask: CPUMask
    @usableFromInline var rest: UInt64
    @usableFromInline var index = 0

    @inlinable
    init(_ mask: CPUMask) {
      self.mask = mask
      rest = mask.word(at: 0)
    }

    /// Returns the next member, or `nil` after the last, and then for ever.
    ///
    /// `while let cpu = cpus.next() { … }`
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    @inlinable public mutating func next() -> Int? {
      while rest == 0 {
        guard index &+ 1 < mask.wordCount else { return nil }
        index &+= 1
        rest = mask.word(at: index)
      }
      let bit = rest.trailingZeroBitCount
      rest &= rest &- 1
      return index &* 64 &+ bit
    }
  }

  /// Starts an iteration over the members in ascending order.
  ///
  /// `for cpu in mask { … }`
  ///
  /// - Source: `for_each_cpu` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func makeIterator() -> Iterator { Iterator(self) }

  /// The number of members, exactly, so that `Array(mask)` allocates once.
  ///
  /// `CPUMask.all(3).underestimatedCount == 3`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var underestimatedCount: Int { count }
}

extension CPUMask {
  /// The number of members.
  ///
  /// `([3, 7] as CPUMask).count == 2`
  ///
  /// To ask whether there are any, ``isEmpty`` is cheaper; for exactly one, `isSingle`.
  ///
  /// - Source: `cpumask_weight` (Linux).
  /// - Complexity: linear in the number of words.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var count: Int {
    switch storage {
    case .inline(let low, let high):
      return low.nonzeroBitCount &+ high.nonzeroBitCount
    case .heap(let words):
      var sum = 0
      for word in words { sum &+= word.nonzeroBitCount }
      return sum
    }
  }

  /// The smallest member, or `nil` for the empty mask.
  ///
  /// `([3, 7] as CPUMask).first == 3`
  ///
  /// - Source: `cpumask_first` (Linux), which answers with the width where there is none.
  /// - Complexity: linear in the number of words.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var first: Int? {
    for index in 0..<wordCount {
      let word = word(at: index)
      if word != 0 { return index &* 64 &+ word.trailingZeroBitCount }
    }
    return nil
  }

  /// The largest member, or `nil` for the empty mask.
  ///
  /// `([3, 7] as CPUMask).last == 7`
  ///
  /// - Source: `cpumask_last` (Linux), which answers with the width where there is none.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var last: Int? {
    let count = wordCount
    guard count > 0 else { return nil }
    return count &* 64 &- 1 &- word(at: count &- 1).leadingZeroBitCount
  }

  /// The only member, or `nil` if there is none or more than one.
  ///
  /// `CPUMask(3).single == 3`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var single: Int? {
    // One member is the first and the last; two are found different without counting the rest.
    guard let first, first == last else { return nil }
    return first
  }

  /// Whether the mask has exactly one member.
  ///
  /// `CPUMask(3).isSingle`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable package var isSingle: Bool { single != nil }

  /// Returns the member that `position` smaller members precede, or `nil` if there is none.
  ///
  /// `([3, 7] as CPUMask).nth(1) == 7`
  ///
  /// To visit all members iterate instead: each call here counts from the start.
  ///
  /// - Source: `cpumask_nth` (Linux), which answers with a number beyond the width where there is
  ///   none.
  /// - Complexity: linear in the number of words.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  package func nth(_ position: Int) -> Int? {
    guard position >= 0 else { return nil }
    var left = position
    for index in 0..<wordCount {
      var word = word(at: index)
      if left >= word.nonzeroBitCount {
        left -= word.nonzeroBitCount
        continue
      }
      for _ in 0..<left { word &= word &- 1 }
      return index * 64 + word.trailingZeroBitCount
    }
    return nil
  }
}

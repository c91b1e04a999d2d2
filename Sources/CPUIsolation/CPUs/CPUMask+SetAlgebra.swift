// SPDX-License-Identifier: Apache-2.0

// Every operation has the same shape: two inline masks are combined in registers, in the caller;
// everything else is one call to a function that is not inlined, so callers stay small.

extension CPUMask: SetAlgebra {
  /// A CPU number.
  public typealias Element = Int

  /// Makes a mask of the CPUs listed in the literal.
  ///
  /// `let housekeeping: CPUMask = [0, 1]`
  ///
  /// A number outside `0..<CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameter cpus: their numbers, in any order.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127 in an optimised build; others allocate the literal's array
  @inlinable public init(arrayLiteral cpus: Int...) {
    self.init()
    for cpu in cpus { insert(cpu) }
  }

  /// Tells whether a CPU is a member; for a number outside the limits the answer is `false`.
  ///
  /// `CPUMask(3).contains(3)`
  ///
  /// - Parameter cpu: any number.
  /// - Returns: whether it is a member.
  /// - Source: `cpumask_test_cpu` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public func contains(_ cpu: Int) -> Bool {
    let word: UInt64
    switch storage {
    case .inline(let low, let high):
      guard UInt(bitPattern: cpu) < UInt(bitPattern: Self.inlineWidth) else { return false }
      word = cpu < 64 ? low : high
    case .heap(let words):
      guard UInt(bitPattern: cpu) < UInt(bitPattern: words.count &* 64) else { return false }
      word = words[cpu &>> 6]
    }
    return (word &>> UInt64(truncatingIfNeeded: cpu)) & 1 != 0
  }

  /// Adds a CPU.
  ///
  /// `mask.insert(3).inserted` is `false` if CPU 3 was a member before.
  ///
  /// A number outside `0..<CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameter cpu: its number, 0 to 8191.
  /// - Returns: whether it was no member before, and its number.
  /// - Source: `cpumask_test_and_set_cpu` (Linux), not atomic.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable @discardableResult
  public mutating func insert(_ cpu: Int) -> (inserted: Bool, memberAfterInsert: Int) {
    if UInt(bitPattern: cpu) < UInt(bitPattern: Self.inlineWidth),
      case .inline(let low, let high) = storage
    {
      let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: cpu)
      let isLow = cpu < 64
      storage = .inline(isLow ? low | bit : low, isLow ? high : high | bit)
      return ((isLow ? low : high) & bit == 0, cpu)
    }
    return (insertSlow(cpu), cpu)
  }

  /// Adds a CPU and returns it if it was a member before.
  ///
  /// `CPUMask(3).contains(4)` is `false`; after `update(with: 4)`, which returns `nil`, it is
  /// `true`.
  ///
  /// A number outside `0..<CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameter cpu: its number, 0 to 8191.
  /// - Returns: its number, or nil if it was no member before.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable @discardableResult
  public mutating func update(with cpu: Int) -> Int? { insert(cpu).inserted ? nil : cpu }

  /// Takes a CPU out and returns it, or `nil` if it was no member.
  ///
  /// `if mask.remove(3) != nil { … }`
  ///
  /// - Parameter cpu: any number; one outside the limits is no member.
  /// - Returns: its number, or nil if it was no member.
  /// - Source: `cpumask_test_and_clear_cpu` (Linux), not atomic.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable @discardableResult
  public mutating func remove(_ cpu: Int) -> Int? {
    if case .inline(let low, let high) = storage {
      guard contains(cpu) else { return nil }
      let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: cpu)
      storage = cpu < 64 ? .inline(low & ~bit, high) : .inline(low, high & ~bit)
      return cpu
    }
    return removeSlow(cpu) ? cpu : nil
  }

  /// Whether the mask has no member.
  ///
  /// `CPUMask().isEmpty`
  ///
  /// - Source: `cpumask_empty` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public var isEmpty: Bool {
    // An array is never empty of members: its last word is not zero.
    if case .inline(let low, let high) = storage { return low | high == 0 }
    return false
  }

  /// Adds the members of another mask.
  ///
  /// `mask.formUnion([2, 3])`
  ///
  /// - Parameter other: the members to add.
  /// - Source: `cpumask_or` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public mutating func formUnion(_ other: CPUMask) {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      storage = .inline(low | otherLow, high | otherHigh)
    } else {
      combineSlow(other) { $0 | $1 }
    }
  }

  /// Keeps only the members that another mask has too.
  ///
  /// `mask.formIntersection(online)`
  ///
  /// - Parameter other: the members to keep.
  /// - Source: `cpumask_and` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public mutating func formIntersection(_ other: CPUMask) {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      storage = .inline(low & otherLow, high & otherHigh)
    } else {
      combineSlow(other) { $0 & $1 }
    }
  }

  /// Takes out the members of another mask.
  ///
  /// `mask.subtract(isolated)`
  ///
  /// - Parameter other: the members to take out; those that this mask does not have are passed
  ///   over.
  /// - Source: `cpumask_andnot` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public mutating func subtract(_ other: CPUMask) {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      storage = .inline(low & ~otherLow, high & ~otherHigh)
    } else {
      combineSlow(other) { $0 & ~$1 }
    }
  }

  /// Keeps the members that exactly one of the two masks has.
  ///
  /// `before.formSymmetricDifference(after)` leaves what changed.
  ///
  /// - Parameter other: the mask to compare with.
  /// - Source: `cpumask_xor` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public mutating func formSymmetricDifference(_ other: CPUMask) {
    if case .inline(let low, let high) = storage,
      case .inline(let otherLow, let otherHigh) = other.storage
    {
      storage = .inline(low ^ otherLow, high ^ otherHigh)
    } else {
      combineSlow(other) { $0 ^ $1 }
    }
  }
}

// MARK: - Values instead of changes

extension CPUMask {
  /// Returns the members of either mask.
  ///
  /// `CPUMask(1).union([2]) == [1, 2]`
  ///
  /// - Parameter other: the mask to unite with.
  /// - Returns: a new mask.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public func union(_ other: CPUMask) -> CPUMask {
    var result = self
    result.formUnion(other)
    return result
  }

  /// Returns the members of both masks.
  ///
  /// `([1, 2] as CPUMask).intersection([2, 3]) == [2]`
  ///
  /// - Parameter other: the mask to intersect with.
  /// - Returns: a new mask, empty if they have no member in common.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public func intersection(_ other: CPUMask) -> CPUMask {
    var result = self
    result.formIntersection(other)
    return result
  }

  /// Returns the members that the other mask does not have.
  ///
  /// `CPUMask.all(4).subtracting([0]) == [1, 2, 3]`
  ///
  /// - Parameter other: the members to leave out.
  /// - Returns: a new mask.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public func subtracting(_ other: CPUMask) -> CPUMask {
    var result = self
    result.subtract(other)
    return result
  }

  /// Returns the members that exactly one of the two masks has.
  ///
  /// `([1, 2] as CPUMask).symmetricDifference([2, 3]) == [1, 3]`
  ///
  /// - Parameter other: the mask to compare with.
  /// - Returns: a new mask, empty if they are equal.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public func symmetricDifference(_ other: CPUMask) -> CPUMask {
    var result = self
    result.formSymmetricDifference(other)
    return result
  }
}

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine
  public import Synchronization

  /// The standard library's `Atomic` with the same methods, each of them a scheduling point of the
  /// model: for the library's own words, and for those of a package that explores a protocol of its
  /// own.
  ///
  ///     #if ModelChecking
  ///       typealias Word = ModelAtomic<UInt64>
  ///     #else
  ///       typealias Word = Atomic<UInt64>
  ///     #endif
  ///
  /// Outside an exploration it is a plain word, and no atomic one.
  ///
  /// - Progress: wait-free
  /// - Context: any body of an exploration
  /// - Allocates: never
  public struct ModelAtomic<Value: FixedWidthInteger & UnsignedInteger>: ~Copyable {
    // The library places these in memory by the size of an `Atomic`, which an `Atomic` here keeps.
    private let storage: Atomic<UInt64>
    private var width: Int { MemoryLayout<Value>.size }

    /// A word with this value.
    ///
    /// - Parameter value: what it holds at first.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    public init(_ value: Value) { storage = Atomic(UInt64(value)) }

    private var address: UInt {
      // Safety: an address as a number; an `Atomic` never moves.
      unsafe withUnsafePointer(to: storage) { UInt(bitPattern: $0) }
    }

    /// See `Atomic.load`.
    ///
    /// - Parameters:
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: the value.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    public func load(
      ordering: AtomicLoadOrdering, file: String = #fileID, line: UInt = #line
    ) -> Value {
      guard let engine = ModelEngine.current else {
        return Value(truncatingIfNeeded: RawMemory.read(address, width))
      }
      return Value(
        truncatingIfNeeded: engine.load(
          address, width: width, Strength(ordering), Site(file: file, line: line)))
    }

    /// See `Atomic.store`.
    ///
    /// - Parameters:
    ///   - value: the new value.
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    public func store(
      _ value: Value, ordering: AtomicStoreOrdering, file: String = #fileID, line: UInt = #line
    ) {
      guard let engine = ModelEngine.current else {
        return RawMemory.write(address, UInt64(value), width)
      }
      engine.store(
        address, UInt64(value), width: width, Strength(ordering), Site(file: file, line: line))
    }

    private func modify(
      _ ordering: AtomicUpdateOrdering, _ site: Site, _ change: (Value) -> Value?
    ) -> Value {
      func widened(_ old: UInt64) -> UInt64? {
        guard let new = change(Value(truncatingIfNeeded: old)) else { return nil }
        return UInt64(new)
      }
      guard let engine = ModelEngine.current else {
        let old = RawMemory.read(address, width)
        if let new = widened(old) { RawMemory.write(address, new, width) }
        return Value(truncatingIfNeeded: old)
      }
      return Value(
        truncatingIfNeeded: engine.modify(
          address, width: width, Strength(ordering), site, widened))
    }

    /// See `Atomic.exchange`.
    ///
    /// - Parameters:
    ///   - value: the new value.
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: the value before.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    @discardableResult
    public func exchange(
      _ value: Value, ordering: AtomicUpdateOrdering, file: String = #fileID, line: UInt = #line
    ) -> Value {
      modify(ordering, Site(file: file, line: line)) { _ in value }
    }

    /// See `Atomic.compareExchange`.
    ///
    /// - Parameters:
    ///   - expected: the value that is replaced.
    ///   - desired: the new value.
    ///   - successOrdering: as for the standard library's atomic.
    ///   - failureOrdering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: whether it was replaced, and the value before.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    public func compareExchange(
      expected: Value, desired: Value, successOrdering: AtomicUpdateOrdering,
      failureOrdering: AtomicLoadOrdering, file: String = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
      let original = modify(successOrdering, Site(file: file, line: line)) {
        $0 == expected ? desired : nil
      }
      return (original == expected, original)
    }

    /// See `Atomic.weakCompareExchange`; here it fails only where it must.
    ///
    /// - Parameters:
    ///   - expected: the value that is replaced.
    ///   - desired: the new value.
    ///   - successOrdering: as for the standard library's atomic.
    ///   - failureOrdering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: whether it was replaced, and the value before.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    public func weakCompareExchange(
      expected: Value, desired: Value, successOrdering: AtomicUpdateOrdering,
      failureOrdering: AtomicLoadOrdering, file: String = #fileID, line: UInt = #line
    ) -> (exchanged: Bool, original: Value) {
      compareExchange(
        expected: expected, desired: desired, successOrdering: successOrdering,
        failureOrdering: failureOrdering, file: file, line: line)
    }

    /// See `Atomic.wrappingAdd`.
    ///
    /// - Parameters:
    ///   - operand: what is added; the sum wraps round.
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: the values before and after.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    @discardableResult
    public func wrappingAdd(
      _ operand: Value, ordering: AtomicUpdateOrdering, file: String = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
      let old = modify(ordering, Site(file: file, line: line)) { $0 &+ operand }
      return (old, old &+ operand)
    }

    /// See `Atomic.bitwiseOr`.
    ///
    /// - Parameters:
    ///   - operand: the bits to set.
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: the values before and after.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    @discardableResult
    public func bitwiseOr(
      _ operand: Value, ordering: AtomicUpdateOrdering, file: String = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
      let old = modify(ordering, Site(file: file, line: line)) { $0 | operand }
      return (old, old | operand)
    }

    /// See `Atomic.bitwiseAnd`.
    ///
    /// - Parameters:
    ///   - operand: the bits to keep.
    ///   - ordering: as for the standard library's atomic.
    ///   - file: the caller's file, for schedules.
    ///   - line: the caller's line.
    /// - Returns: the values before and after.
    /// - Progress: wait-free
    /// - Context: any body of an exploration
    /// - Allocates: yes
    @discardableResult
    public func bitwiseAnd(
      _ operand: Value, ordering: AtomicUpdateOrdering, file: String = #fileID, line: UInt = #line
    ) -> (oldValue: Value, newValue: Value) {
      let old = modify(ordering, Site(file: file, line: line)) { $0 & operand }
      return (old, old & operand)
    }
  }

  // Sendable: bodies run on one thread, one at a time.
  extension ModelAtomic: @unchecked Sendable where Value: Sendable {}

  /// The standard library's fence, as a scheduling point of the model.
  ///
  /// - Parameters:
  ///   - ordering: as for the standard library's atomic.
  ///   - file: the caller's file, for schedules.
  ///   - line: the caller's line.
  /// - Progress: wait-free
  /// - Context: any body of an exploration
  /// - Allocates: yes
  public func modelFence(
    ordering: AtomicUpdateOrdering, file: String = #fileID, line: UInt = #line
  ) {
    ModelEngine.current?.fence(Strength(ordering), Site(file: file, line: line))
  }
#endif

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Words that threads and signal handlers share, in memory that never moves.
// Sendable: an address that never changes, of atomics.
@safe
final class WordTable: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  let count: Int

  init(_ count: Int, _ value: UInt64 = 0) {
    self.count = count
    // Safety: this object's own, until `deinit`.
    unsafe words = .allocate(capacity: count)
    for index in 0..<count { unsafe (words + index).initialize(to: Atomic(value)) }
  }

  deinit {
    // Safety: as allocated.
    unsafe words.deinitialize(count: count)
    unsafe words.deallocate()
  }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(index >= 0 && index < count)
    // Safety: the index is inside.
    return unsafe words + index
  }

  func load(_ index: Int) -> UInt64 { unsafe word(index).pointee.load(ordering: .relaxed) }
  func loadAcquiring(_ index: Int) -> UInt64 {
    unsafe word(index).pointee.load(ordering: .acquiring)
  }
  func loadInOrder(_ index: Int) -> UInt64 {
    unsafe word(index).pointee.load(ordering: .sequentiallyConsistent)
  }
  func store(_ index: Int, _ value: UInt64) {
    unsafe word(index).pointee.store(value, ordering: .relaxed)
  }
  func storeReleasing(_ index: Int, _ value: UInt64) {
    unsafe word(index).pointee.store(value, ordering: .releasing)
  }
  func storeInOrder(_ index: Int, _ value: UInt64) {
    unsafe word(index).pointee.store(value, ordering: .sequentiallyConsistent)
  }
  /// Acquires and releases.
  func exchange(_ index: Int, _ value: UInt64) -> UInt64 {
    unsafe word(index).pointee.exchange(value, ordering: .acquiringAndReleasing)
  }
  /// Changes one value to another; false where there was a third. Acquires and releases.
  func change(_ index: Int, from old: UInt64, to new: UInt64) -> Bool {
    unsafe word(index).pointee.compareExchange(
      expected: old, desired: new, ordering: .acquiringAndReleasing
    ).exchanged
  }
  @discardableResult
  func add(_ index: Int, _ value: UInt64 = 1) -> UInt64 {
    unsafe word(index).pointee.wrappingAdd(value, ordering: .relaxed).newValue
  }
  /// Raises the word to a value that is higher.
  func raise(_ index: Int, to value: UInt64) {
    unsafe word(index).pointee.max(value, ordering: .acquiringAndReleasing)
  }
}

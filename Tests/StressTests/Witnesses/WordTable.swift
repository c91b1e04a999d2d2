// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Words that threads share, in memory that never moves.
// Sendable: an address that never changes, of atomics.
@safe
final class WordTable: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  let count: Int

  init(_ count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: count)
    for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: count)
    unsafe words.deallocate()
  }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    precondition(index >= 0 && index < count)
    return unsafe words + index
  }

  func load(_ index: Int) -> UInt64 { unsafe word(index).pointee.load(ordering: .relaxed) }
  func loadAcquiring(_ index: Int) -> UInt64 {
    unsafe word(index).pointee.load(ordering: .acquiring)
  }
  func store(_ index: Int, _ value: UInt64) {
    unsafe word(index).pointee.store(value, ordering: .relaxed)
  }
  func storeReleasing(_ index: Int, _ value: UInt64) {
    unsafe word(index).pointee.store(value, ordering: .releasing)
  }
  func exchange(_ index: Int, _ value: UInt64) -> UInt64 {
    unsafe word(index).pointee.exchange(value, ordering: .relaxed)
  }
  @discardableResult
  func add(_ index: Int, _ value: UInt64 = 1) -> UInt64 {
    unsafe word(index).pointee.wrappingAdd(value, ordering: .relaxed).newValue
  }

  var sum: UInt64 { (0..<count).reduce(0) { $0 &+ load($1) } }
}

/// A flag that threads share.
final class SharedFlag: Sendable {
  private let flag = Atomic(false)

  var isSet: Bool { flag.load(ordering: .acquiring) }
  func set() { flag.store(true, ordering: .releasing) }
}

/// A counter that threads share.
final class SharedCounter: Sendable {
  private let count = Atomic<Int>(0)

  var value: Int { count.load(ordering: .acquiring) }
  @discardableResult
  func add(_ number: Int = 1) -> Int {
    count.wrappingAdd(number, ordering: .acquiringAndReleasing).newValue
  }
}

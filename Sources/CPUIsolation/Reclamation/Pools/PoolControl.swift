// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Where a pool's memory is, and how it is laid out.
///
///     rings     ringCount × (3 lines + one 32-bit index per object, the number rounded up to a power of two)
///     shelf     2 lines + one bit per object
///     objects   capacity × stride; each begins with 16 bytes, its mark
// Sendable: addresses of memory in which every shared word is atomic, and constants.
@frozen @safe @usableFromInline
struct PoolShape: @unchecked Sendable {
  @usableFromInline let rings: Address
  @usableFromInline let ringStride: Int
  @usableFromInline let ringCount: Int
  /// One less than the number of a ring's cells.
  @usableFromInline let mask: UInt64
  @usableFromInline let shelf: PoolShelf
  @usableFromInline let objects: Address
  @usableFromInline let stride: Int
  @usableFromInline let capacity: UInt64
  /// What turns a distance from the first object into a number by one multiplication.
  @usableFromInline let inverse: UInt64
  @usableFromInline let rotation: UInt64
}

/// What a pool's handles point to. It outlives the pool's memory, so that a handle can be asked
/// about a pool that has been freed.
@usableFromInline
struct PoolControl: ~Copyable {
  // The first line is read by every pop and push, and written once.

  /// Non-zero from the beginning of `close` on.
  @usableFromInline let closed = SharedWord(0)
  @usableFromInline let shape: PoolShape
  // 12 words so far: the rest of two lines.
  private let padding: InlineArray<20, UInt64> = .init(repeating: 0)
  /// One for each object that has not come back for good, for each registered thread, for each
  /// operation of a thread without a ring, and for the pool while it is open. Whoever takes the
  /// last one frees the memory.
  let references: SharedWord
  /// The pool's handle and its memory: whoever takes the last one frees this.
  let holders: SharedWord
  /// Nil once it has been freed.
  var memory: PoolMemory?

  init(shape: PoolShape, references: UInt64, holders: UInt64 = 2, memory: PoolMemory?) {
    self.shape = shape
    self.references = SharedWord(references)
    self.holders = SharedWord(holders)
    self.memory = memory
  }
}

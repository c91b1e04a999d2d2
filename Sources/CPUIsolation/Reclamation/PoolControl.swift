// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What a pool's life hangs on. It outlives the pool's memory, so that a handle can be asked about
/// a pool that has been freed.
@usableFromInline
struct PoolControl: ~Copyable {
  /// Non-zero from the beginning of `close` on; read by every pop and push, written once.
  @usableFromInline let closed = SharedWord(0)
  // On lines of their own: threads without a ring write the words behind.
  private let padding: InlineArray<15, UInt64> = .init(repeating: 0)
  /// One for each object that has not come back for good, for each registered thread, for each
  /// operation of a thread without a ring, and for the pool while it is open. Whoever takes the
  /// last one frees the memory.
  let references: SharedWord
  /// The pool's handle and its memory: whoever takes the last one frees this.
  let holders: SharedWord
  /// Nil once it has been freed.
  var memory: PoolMemory?

  init(references: UInt64, holders: UInt64 = 2, memory: PoolMemory?) {
    self.references = SharedWord(references)
    self.holders = SharedWord(holders)
    self.memory = memory
  }
}

/// The mapping of a pool, and what ends the elements in it.
final class PoolMemory: Sendable {
  let mapping: MappedMemory
  /// Ends the objects, all of which are at home.
  let end: @Sendable (PoolCore) -> Void

  init(byteCount: Int, end: @escaping @Sendable (PoolCore) -> Void) throws(CoordinatorError) {
    mapping = try MappedMemory(byteCount: byteCount)
    self.end = end
  }
}

// SPDX-License-Identifier: Apache-2.0
//
// The seam between the protocols and the machine. This is the only file that names the standard
// library's atomics, so a checking build can put modelled ones, with the same methods, in their
// place everywhere.

internal import CPlatform
public import Synchronization

/// A 64-bit word that several threads share.
@usableFromInline typealias SharedWord = Atomic<UInt64>

/// A 32-bit word that several threads share: what a futex needs.
@usableFromInline typealias SharedWord32 = Atomic<UInt32>

/// An address that several threads share.
@usableFromInline typealias SharedAddress = Atomic<UInt>

extension Atomic where Value == UInt64 {
  /// Sets one bit, sequentially consistent, and tells whether it was set before.
  ///
  /// The shift has to be visible to the compiler: only then is this one `lock bts` on x86-64, where
  /// a mask that comes in from outside makes a compare-exchange loop.
  @inlinable @inline(__always)
  borrowing func setBit(_ index: UInt64) -> Bool {
    let bit: UInt64 = 1 &<< (index & 63)
    return bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue & bit != 0
  }

  /// Adds one to a counter that only the calling thread writes: a load and a store, no locked
  /// instruction.
  @inlinable @inline(__always)
  borrowing func countOne() {
    store(load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  /// Raises the word to `value` if it is lower; only the calling thread writes it.
  @inlinable @inline(__always)
  borrowing func raise(to value: UInt64) {
    if load(ordering: .relaxed) < value { store(value, ordering: .relaxed) }
  }
}

/// A full fence, for the slow paths that need one on every architecture.
@inlinable @inline(__always)
func fullFence() {
  atomicMemoryFence(ordering: .sequentiallyConsistent)
}

/// A full fence on architectures where a sequentially consistent read-modify-write does not order
/// the relaxed loads that follow it. On x86-64 the locked instruction is the fence, and a second
/// one would double its cost.
@inlinable @inline(__always)
func fullFenceAfterExchange() {
  #if !arch(x86_64)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  #endif
}

/// What the calling thread is: the words that the library keeps for each thread.
///
/// Reading them is one instruction and allowed in a signal handler.
enum CurrentThread {
  /// The base address of the CPU slot that this thread is attached to.
  static var cpu: UnsafeMutableRawPointer? { unsafe cpi_current_cpu() }
}

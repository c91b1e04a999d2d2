// SPDX-License-Identifier: Apache-2.0
//
// The seam between the protocols and the machine's memory. This is the only file that names the
// standard library's atomics; the ModelChecking trait puts simulated ones, with the same methods,
// in their place everywhere.

internal import CPlatform
public import Synchronization

#if ModelChecking
  @usableFromInline typealias SharedWord = ModelAtomic<UInt64>
  @usableFromInline typealias SharedWord32 = ModelAtomic<UInt32>
  @usableFromInline typealias SharedAddress = ModelAtomic<UInt>
#else
  /// A 64-bit word that several threads share.
  @usableFromInline typealias SharedWord = Atomic<UInt64>

  /// A 32-bit word that several threads share: what a futex needs.
  @usableFromInline typealias SharedWord32 = Atomic<UInt32>

  /// An address that several threads share.
  @usableFromInline typealias SharedAddress = Atomic<UInt>
#endif

extension SharedWord {
  #if ModelChecking
    @usableFromInline
    func setBit(_ index: UInt64, file: String = #fileID, line: UInt = #line) -> Bool {
      let bit: UInt64 = 1 << index
      return bitwiseOr(bit, ordering: .sequentiallyConsistent, file: file, line: line).oldValue
        & bit != 0
    }
  #else
    /// Sets one bit, sequentially consistent, and tells whether it was set before.
    ///
    /// The shift has to be visible to the compiler: only then is this one `lock bts` on x86-64,
    /// where a mask that comes in from outside makes a compare-exchange loop.
    @inlinable @inline(__always)
    borrowing func setBit(_ index: UInt64) -> Bool {
      let bit: UInt64 = 1 &<< (index & 63)
      return bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue & bit != 0
    }
  #endif

  /// Adds one to a counter that only the calling thread writes, and its signal handlers in between.
  ///
  /// On x86-64, optimised, a load and a store that the compiler makes one instruction of, which is
  /// whole for a signal and not locked: tests look at the machine code. Elsewhere an atomic addition.
  @inlinable @inline(__always)
  borrowing func countOne() {
    #if ModelChecking || (arch(x86_64) && !DEBUG)
      store(load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    #else
      wrappingAdd(1, ordering: .relaxed)
    #endif
  }

  /// Raises the word to `value` if it is lower; only the calling thread writes it.
  @inlinable @inline(__always)
  borrowing func raise(to value: UInt64) {
    if load(ordering: .relaxed) < value { store(value, ordering: .relaxed) }
  }
}

extension Place<SharedWord> {
  #if ModelChecking
    func addBetweenSignals(_ operand: UInt64, file: String = #fileID, line: UInt = #line) -> UInt64
    {
      value.wrappingAdd(operand, ordering: .relaxed, file: file, line: line).oldValue
    }
  #else
    /// Adds to a word that only the calling thread writes, and its signal handlers in between.
    /// Returns the old value.
    ///
    /// One instruction on x86-64, whole for a signal and not locked: a third of the cost.
    @inline(__always)
    func addBetweenSignals(_ operand: UInt64) -> UInt64 {
      // Safety: a word is there, and other threads only read it.
      unsafe cpi_add_between_signals(address.pointer, operand)
    }
  #endif
}

#if ModelChecking
  func fullFence(file: String = #fileID, line: UInt = #line) {
    modelFence(ordering: .sequentiallyConsistent, file: file, line: line)
  }

  func releaseFence(file: String = #fileID, line: UInt = #line) {
    modelFence(ordering: .releasing, file: file, line: line)
  }

  func acquireFence(file: String = #fileID, line: UInt = #line) {
    modelFence(ordering: .acquiring, file: file, line: line)
  }

  @usableFromInline
  func fullFenceAfterExchange(file: String = #fileID, line: UInt = #line) {
    modelFence(ordering: .sequentiallyConsistent, file: file, line: line)
  }
#else
  /// A full fence, for the slow paths that need one on every architecture.
  @inlinable @inline(__always)
  func fullFence() {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// Holds the stores after it after everything before; no instruction on x86-64.
  @inline(__always)
  func releaseFence() { atomicMemoryFence(ordering: .releasing) }

  /// Holds everything after it after the loads before; no instruction on x86-64.
  @inline(__always)
  func acquireFence() { atomicMemoryFence(ordering: .acquiring) }

  /// A full fence on architectures where a sequentially consistent read-modify-write does not order
  /// the relaxed loads that follow it. On x86-64 the locked instruction is the fence, and a second
  /// one would double its cost.
  @inlinable @inline(__always)
  func fullFenceAfterExchange() {
    #if !arch(x86_64)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    #endif
  }
#endif

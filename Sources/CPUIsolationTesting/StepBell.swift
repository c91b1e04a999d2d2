// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Rings whenever a script has changed: who waits for it sleeps, so that many scripted CPUs cost
/// nothing between their steps.
@safe
final class StepBell: Sendable {
  // Points to memory that lives as long as the bell, and holds an atomic word.
  private nonisolated(unsafe) let word: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: Atomic(0))
  }

  deinit {
    unsafe word.deinitialize(count: 1)
    unsafe word.deallocate()
  }

  /// How often it has rung. Read before the look that decides whether to wait.
  var rings: UInt32 { unsafe word.pointee.load(ordering: .acquiring) }

  func ring() {
    unsafe word.pointee.add(1, ordering: .releasing)
    _ = unsafe cpi_futex_wake(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), .max)
  }

  /// Sleeps until it rings again after `seen`, for at most so many nanoseconds.
  func wait(after seen: UInt32, nanoseconds: UInt64 = .max) {
    let address = unsafe UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self)
    // Whatever ends the sleep, the caller looks again.
    _ = unsafe cpi_futex_wait(address, seen, nanoseconds)
  }
}

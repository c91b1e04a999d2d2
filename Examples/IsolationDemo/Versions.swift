// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What may be seen of things that change: for each the version whose change is over, and the one
/// whose change has begun.
///
/// Whoever changes a thing counts `begun` up, makes the change, waits until it holds for every CPU,
/// and counts `done` up. A CPU reads `done`, looks, and reads `begun`:
/// - `done` was stored after the wait. So what is older must not be found.
/// - `begun` was stored before anything was changed. So what is newer cannot be found.
///
/// One thread changes each thing. Even versions of a page are without a frame, odd ones have one; see
/// `LiveMemory` for the steps between them.
// Sendable: memory of its own that does not move, in which every word is atomic.
@safe
final class Versions: @unchecked Sendable {
  private let begun: UnsafeMutablePointer<Atomic<UInt64>>
  private let done: UnsafeMutablePointer<Atomic<UInt64>>

  init(count: Int) {
    unsafe begun = .allocate(capacity: count)
    unsafe done = .allocate(capacity: count)
    for index in 0..<count {
      unsafe (begun + index).initialize(to: Atomic(0))
      unsafe (done + index).initialize(to: Atomic(0))
    }
  }

  deinit {
    unsafe begun.deallocate()
    unsafe done.deallocate()
  }

  // MARK: Whoever changes the thing

  /// Begins the change by so many versions, and returns the version that it makes.
  func begin(_ thing: Int, by step: UInt64 = 1) -> UInt64 {
    let version = unsafe done[thing].load(ordering: .relaxed) &+ step
    unsafe begun[thing].store(version, ordering: .relaxed)
    // Release — Versions:B. Before all that the change writes, whoever finds it, and however:
    // a broken order has no other. Pairs with Versions:H.
    atomicMemoryFence(ordering: .releasing)
    return version
  }

  /// Ends the change: every CPU has it, or takes it before it looks.
  func finish(_ thing: Int, at version: UInt64) {
    // Release — Versions:D. After the wait. Pairs with Versions:L.
    unsafe done[thing].store(version, ordering: .releasing)
  }

  /// The version that the last change made.
  func current(_ thing: Int) -> UInt64 { unsafe done[thing].load(ordering: .relaxed) }

  // MARK: Whoever looks

  /// The oldest version that may be found from here on.
  @inline(__always)
  func lowest(_ thing: Int) -> UInt64 {
    // Acquire — Versions:L. The look comes after it. Pairs with Versions:D.
    unsafe done[thing].load(ordering: .acquiring)
  }

  /// The newest version that may have been found up to here.
  @inline(__always)
  func highest(_ thing: Int) -> UInt64 {
    // Acquire — Versions:H. The look comes before it. Pairs with Versions:B.
    atomicMemoryFence(ordering: .acquiring)
    return unsafe begun[thing].load(ordering: .relaxed)
  }
}

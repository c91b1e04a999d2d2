// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Puts one thread to sleep until another one lets it go: one token, on a futex.
///
/// `unpark` leaves a token, `park` consumes it, so an `unpark` that comes first is not lost. Waking
/// nobody costs one exchange and no system call.
///
///     state      0 empty · 1 token · 2 the owner sleeps
///
/// The parker says when to stop sleeping, not what has happened: whoever wakes looks at the words
/// that matter.
@usableFromInline
struct Parker: ~Copyable {
  private let state = SharedWord32(0)

  private static let empty: UInt32 = 0
  private static let token: UInt32 = 1
  private static let asleep: UInt32 = 2

  init() {}

  /// Sleeps until there is a token or the deadline comes; a signal may end a sleep that has a
  /// deadline. Only the owner may call it.
  func park(until deadline: Deadline) {
    // Acquire — Parker:P. Takes the token of Parker:U, so what was written before it is seen after.
    // If the token comes before this exchange we consume it and return; if it comes after, unpark's
    // own exchange finds `asleep` and wakes us, or changes the word so that the futex refuses to
    // sleep.
    if state.compareExchange(
      expected: Self.token, desired: Self.empty, successOrdering: .acquiring,
      failureOrdering: .relaxed
    ).exchanged {
      return
    }
    guard
      state.compareExchange(
        expected: Self.empty, desired: Self.asleep, successOrdering: .relaxed,
        failureOrdering: .relaxed
      ).exchanged
    else {
      // Only a token can have come in between. Acquire — Parker:P. Pairs with Parker:U.
      _ = state.exchange(Self.empty, ordering: .acquiring)
      return
    }
    let remaining = deadline.remaining
    // Safety: as `futexWord` says.
    if remaining > 0 { unsafe Futex.wait(futexWord, expected: Self.asleep, nanoseconds: remaining) }
    // Acquire — Parker:P. Pairs with Parker:U.
    _ = state.exchange(Self.empty, ordering: .acquiring)
  }

  /// Lets the owner go, now or at its next `park`. Any thread may call it, also in a signal
  /// handler.
  func unpark() {
    // Release — Parker:U. What the caller wrote is seen by the owner after Parker:P.
    if state.exchange(Self.token, ordering: .releasing) == Self.asleep {
      // Safety: as `futexWord` says.
      unsafe Futex.wake(futexWord)
    }
  }

  /// The futex works on the address of the word. An `Atomic` never moves: a parker lives in mapped
  /// memory, at the same address from initialisation to deinitialisation.
  private var futexWord: UnsafePointer<UInt32> {
    // Safety: as above.
    unsafe withUnsafePointer(to: state) {
      unsafe UnsafeRawPointer($0).assumingMemoryBound(to: UInt32.self)
    }
  }
}

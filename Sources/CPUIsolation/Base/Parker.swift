// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Puts one thread to sleep until another one lets it go: one token, on a futex.
///
/// `unpark` leaves a token, `park` consumes it, so an `unpark` that comes first is not lost. Waking
/// nobody costs one exchange and no system call.
///
///     state      0 empty · 1 token · 2 the owner sleeps · 3 the owner sleeps elsewhere
///
/// Elsewhere is where no futex reaches: in epoll, in io_uring, on a condition variable. Such an owner
/// brings a function that wakes it there.
///
/// The parker says when to stop sleeping, not what has happened: whoever wakes looks at the words
/// that matter.
@usableFromInline
struct Parker: ~Copyable {
  private let state = SharedWord32(0)
  /// The function that wakes an owner who sleeps elsewhere: a reference to a `WakeFunction`, or 0.
  private let wake = SharedAddress(0)
  /// How many threads look for that function, or are in it.
  private let wakers = SharedWord(0)

  private static let empty: UInt32 = 0
  private static let token: UInt32 = 1
  private static let asleep: UInt32 = 2
  private static let elsewhere: UInt32 = 3

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
    let before = state.exchange(Self.token, ordering: .releasing)
    if before == Self.asleep {
      // Safety: as `futexWord` says.
      unsafe Futex.wake(futexWord)
    }
    if before == Self.elsewhere { wakeElsewhere() }
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

// An owner that sleeps elsewhere.
extension Parker {
  /// Whether the owner has brought a function that wakes it; asked by the owner.
  var hasWakeFunction: Bool { wake.load(ordering: .relaxed) != 0 }

  /// Has `unpark` wake the owner by this function where it sleeps elsewhere. Only the owner may call it, and
  /// calls `takeWakeFunction` before it goes.
  func setWakeFunction(_ function: WakeFunction) {
    // Safety: one reference, which `takeWakeFunction` gives back.
    let kept = unsafe UInt(bitPattern: Unmanaged.passRetained(function).toOpaque())
    // Release — wake:S. What the function is comes before that it can be found. Pairs with wake:F.
    wake.store(kept, ordering: .releasing)
  }

  /// Takes the function back, once no thread is in it.
  ///
  /// The count and the function are a Dekker pair: a waker counts itself and then loads the function, the
  /// owner empties the function and then looks at the count.
  /// - If the waker's addition comes before the owner's look, the owner waits until the waker has subtracted.
  /// - Else the owner's exchange comes before the waker's load, which finds no function.
  func takeWakeFunction() -> WakeFunction? {
    if !hasWakeFunction { return nil }
    // Sequentially consistent — wake:E. Before wake:L. Dekker with wake:C/wake:F.
    let kept = wake.exchange(0, ordering: .sequentiallyConsistent)
    // Safety: the reference of `setWakeFunction`.
    guard let reference = unsafe UnsafeRawPointer(bitPattern: kept) else { return nil }
    let function = unsafe Unmanaged<WakeFunction>.fromOpaque(reference).takeRetainedValue()
    var backoff = Backoff()
    // Sequentially consistent — wake:L. After wake:E; also the acquire side of wake:D, with which it pairs.
    while wakers.load(ordering: .sequentiallyConsistent) != 0 {
      // Who was in it at the fork is not in the child.
      if function.isForked { break }
      backoff.wait()
    }
    return function
  }

  /// Says that the owner is about to sleep elsewhere: from here on `unpark` calls its function, once. False:
  /// there was a token, which is taken; the owner does not sleep.
  func beginSleepElsewhere() -> Bool {
    let hasBegun = state.compareExchange(
      expected: Self.empty, desired: Self.elsewhere, successOrdering: .relaxed,
      failureOrdering: .relaxed
    ).exchanged
    if !hasBegun {
      // Acquire — Parker:P. Only a token can be there. Pairs with Parker:U.
      _ = state.exchange(Self.empty, ordering: .acquiring)
    }
    return hasBegun
  }

  /// The owner is awake again.
  func endSleepElsewhere() {
    // Acquire — Parker:P. Pairs with Parker:U.
    _ = state.exchange(Self.empty, ordering: .acquiring)
  }

  #if ModelChecking
    /// The word of the function, on which no schedule depends while there is none.
    var wakeWord: Range<UInt> {
      // Safety: as for `futexWord`.
      let first = unsafe withUnsafePointer(to: wake) { unsafe UInt(bitPattern: $0) }
      return first..<first + 8
    }
  #endif

  @inline(never)
  private func wakeElsewhere() {
    // Sequentially consistent — wake:C. Before wake:F. Dekker with wake:E/wake:L.
    wakers.wrappingAdd(1, ordering: .sequentiallyConsistent)
    // Sequentially consistent — wake:F. After the count.
    let kept = wake.load(ordering: .sequentiallyConsistent)
    if let reference = unsafe UnsafeRawPointer(bitPattern: kept) {
      // Safety: the owner gives the reference back when no thread is counted.
      unsafe Unmanaged<WakeFunction>.fromOpaque(reference)._withUnsafeGuaranteedRef { $0.call() }
    }
    // Release — wake:D. One less; what the function did comes before its end. Pairs with wake:L.
    wakers.wrappingAdd(.max, ordering: .releasing)
  }
}

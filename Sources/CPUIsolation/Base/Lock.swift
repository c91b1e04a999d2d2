// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A lock round a value, for cold paths: the standard library's.
///
/// ThreadSanitizer does not see how a contended `Mutex` hands over on Linux, where the kernel does
/// it, and would report what it protects. In that build a word orders the holders once more.
package struct Lock<Value: Sendable>: ~Copyable, Sendable {
  private let mutex: Mutex<Value>
  #if CPUISOLATION_THREAD_SANITIZER
    private let order = SharedWord(0)
  #endif

  package init(_ value: Value) { mutex = Mutex(value) }

  /// Runs the body with the value, alone.
  package func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try mutex.withLock { value throws(Failure) in
      #if CPUISOLATION_THREAD_SANITIZER
        // Acquire, and release behind — Lock:O, for the sanitizer alone. Pairs with Lock:O.
        _ = order.load(ordering: .acquiring)
        defer {
          // Acquire and release — Lock:O, as above.
          order.wrappingAdd(1, ordering: .acquiringAndReleasing)
        }
      #endif
      return try body(&value)
    }
  }

  /// The same if nobody holds the lock, else nil: for the child of a fork, where whoever holds it may
  /// not be there.
  package func withLockIfAvailable<Result>(_ body: (inout Value) -> Result) -> Result? {
    mutex.withLockIfAvailable { body(&$0) }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A lock round a value, for cold paths: a mutex of the C library, which lends its holder the
/// priority of whoever waits, and can be used in the child of a fork whoever held it.
///
/// Not `Mutex`, the standard library's: a thread that has used one keeps its kernel id, and goes on
/// with that in the child of a fork, where it is another's; the first contention ends the child
/// (Swift 6.3). ThreadSanitizer does not see how such a `Mutex` hands over either.
// Sendable: the holder of the mutex alone touches the value, which is Sendable.
@safe
package struct Lock<Value: Sendable>: ~Copyable, @unchecked Sendable {
  private let mutex: OpaquePointer
  private let value: UnsafeMutablePointer<Value>

  package init(_ value: Value) {
    // Safety: new memory, until `deinit`.
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
    var made: OpaquePointer? = nil
    let error = unsafe cpi_make_lock(&made)
    guard error == 0, let made = unsafe made else {
      misuse("the system refuses a mutex: errno \(error)")
    }
    unsafe mutex = made
  }

  deinit {
    // Safety: nobody has the lock any more.
    unsafe cpi_end_lock(mutex)
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
  }

  /// Runs the body with the value, alone.
  package func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Safety: the mutex is there until `deinit`, and its holder alone has the value.
    let error = unsafe cpi_take_lock(mutex)
    if error == 35 { misuse("a thread waits for a lock that it holds itself") }
    if error != 0 { misuse("the system refuses a lock: errno \(error)") }
    defer { unsafe cpi_release_lock(mutex) }
    return try unsafe body(&value.pointee)
  }

  /// The same if nobody holds the lock, else nil.
  package func withLockIfAvailable<Result>(_ body: (inout Value) -> Result) -> Result? {
    // Safety: as above.
    if unsafe cpi_try_lock(mutex) != 0 { return nil }
    defer { unsafe cpi_release_lock(mutex) }
    return unsafe body(&value.pointee)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A lock round a value, for cold paths: a mutex of the C library, which lends its holder the
/// priority of whoever waits.
///
/// Not `Mutex`, the standard library's: a thread that has used one keeps its kernel id, and goes on
/// with that in the child of a fork, where it is another's; the first contention ends the child
/// (Swift 6.3). ThreadSanitizer does not see how such a `Mutex` hands over either.
// Sendable: the holder of the mutex alone touches the value, which is Sendable.
@safe
package struct Lock<Value: Sendable>: ~Copyable, @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let value: UnsafeMutablePointer<Value>

  package init(_ value: Value) {
    // Safety: new memory, until `deinit`; the attributes are this function's.
    unsafe mutex = .allocate(capacity: 1)
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
    var attributes = pthread_mutexattr_t()
    unsafe pthread_mutexattr_init(&attributes)
    unsafe pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ERRORCHECK))
    unsafe pthread_mutexattr_setprotocol(&attributes, Int32(PTHREAD_PRIO_INHERIT))
    var error = unsafe pthread_mutex_init(mutex, &attributes)
    if error == ENOTSUP {
      // A system whose futexes lend no priority: some sandboxes.
      unsafe pthread_mutexattr_setprotocol(&attributes, Int32(PTHREAD_PRIO_NONE))
      error = unsafe pthread_mutex_init(mutex, &attributes)
    }
    if error != 0 { misuse("the system refuses a mutex: errno \(error)") }
    unsafe pthread_mutexattr_destroy(&attributes)
  }

  deinit {
    // Safety: nobody has the lock any more.
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
  }

  /// Runs the body with the value, alone.
  package func withLock<Result, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Safety: the mutex is there until `deinit`, and its holder alone has the value.
    let error = unsafe pthread_mutex_lock(mutex)
    if error == EDEADLK { misuse("a thread waits for a lock that it holds itself") }
    if error != 0 { misuse("the system refuses a lock: errno \(error)") }
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try unsafe body(&value.pointee)
  }

  /// The same if nobody holds the lock, else nil: for the child of a fork, where whoever holds it may
  /// not be there.
  package func withLockIfAvailable<Result>(_ body: (inout Value) -> Result) -> Result? {
    // Safety: as above.
    if unsafe pthread_mutex_trylock(mutex) != 0 { return nil }
    defer { unsafe pthread_mutex_unlock(mutex) }
    return unsafe body(&value.pointee)
  }
}

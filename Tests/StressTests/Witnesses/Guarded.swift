// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A value after a POSIX mutex.
///
/// The standard library's `Mutex` takes its slow path in a library that ThreadSanitizer cannot see into, so under contention it
/// reports every access that the mutex orders. POSIX mutexes it knows.
// Sendable: the mutex orders every access.
@safe
final class Guarded<Value>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var value: Value

  init(_ value: sending Value) {
    self.value = value
    unsafe pthread_mutex_init(mutex, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}

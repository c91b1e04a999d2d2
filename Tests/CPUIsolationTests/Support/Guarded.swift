// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A value after a lock of the system.
///
/// Not `Mutex`: where two threads meet in it, its slow path lies in a library that ThreadSanitizer
/// cannot see, and it reports the value.
// Sendable: the value is touched under the lock alone.
@safe
final class Guarded<Value>: @unchecked Sendable {
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private var value: Value

  init(_ value: Value) {
    self.value = value
    unsafe lock = .allocate(capacity: 1)
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(lock, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe lock.deallocate()
  }

  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    unsafe pthread_mutex_lock(lock)
    defer { _ = unsafe pthread_mutex_unlock(lock) }
    return try body(&value)
  }
}

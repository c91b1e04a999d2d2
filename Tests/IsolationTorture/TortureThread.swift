// SPDX-License-Identifier: Apache-2.0

internal import CTorture
internal import Glibc
internal import Synchronization

/// A POSIX thread with a closure for a body.
struct TortureThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  private let handle: pthread_t

  /// Nil where the system has no thread to give.
  init?(_ run: @escaping @Sendable () -> Void) {
    var handle = pthread_t()
    // Safety: one reference, which the thread takes over, or this function if there is none.
    let body = unsafe Unmanaged.passRetained(Body(run))
    let error = unsafe pthread_create(
      &handle, nil,
      { body in
        let body = unsafe Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue()
        DisturbedThreads.add(ctr_thread_id())
        body.run()
        DisturbedThreads.remove(ctr_thread_id())
        return nil
      }, body.toOpaque())
    if error != 0 {
      unsafe body.release()
      return nil
    }
    self.handle = handle
  }

  func join() { pthread_join(handle, nil) }
}

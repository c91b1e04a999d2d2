// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A POSIX thread with a closure for a body: stress tests want threads, not tasks on a pool of two.
struct TestThread {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  private let handle: pthread_t

  init(_ run: @escaping @Sendable () -> Void) {
    var handle = pthread_t()
    let body = unsafe Unmanaged.passRetained(Body(run))
    let error = unsafe pthread_create(
      &handle, nil,
      { body in
        unsafe Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(error == 0, "no thread: \(error)")
    self.handle = handle
  }

  func join() { pthread_join(handle, nil) }

  /// Runs `count` threads and waits for all of them.
  static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let threads = (0..<count).map { index in TestThread { body(index) } }
    for thread in threads { thread.join() }
  }
}

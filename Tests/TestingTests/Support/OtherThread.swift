// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A thread that is no CPU.
final class OtherThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  struct Refused: Error { let code: Int32 }

  private var thread: pthread_t = 0

  init(_ run: @escaping @Sendable () -> Void) throws {
    let body = unsafe Unmanaged.passRetained(Body(run))
    let error = unsafe pthread_create(
      &thread, nil,
      { context in
        unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    if error != 0 {
      unsafe body.release()
      throw Refused(code: error)
    }
  }

  func join() { _ = pthread_join(thread, nil) }
}

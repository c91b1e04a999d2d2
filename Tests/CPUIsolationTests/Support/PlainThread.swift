// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A thread that is no CPU: it runs one closure, and ends.
enum PlainThread {
  /// Starts a thread; the step ends when the closure has returned, a little before the thread does.
  static func start<Result: Sendable>(
    _ body: @escaping @Sendable () -> Result
  ) -> Step<Result> {
    let step = Step<Result>()
    let context = unsafe Unmanaged.passRetained(Body { step.finish(body()) }).toOpaque()
    var thread = pthread_t()
    let error = unsafe pthread_create(
      &thread, nil,
      { context in
        unsafe Unmanaged<Body>.fromOpaque(context!).takeRetainedValue().run()
        return nil
      }, context)
    precondition(error == 0, "no thread could be started")
    pthread_detach(thread)
    return step
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
}

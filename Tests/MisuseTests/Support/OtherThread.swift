// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Another thread, while the calling one waits: for ten seconds, then it goes on without.
func onOtherThread(_ body: @escaping @Sendable () -> Void) {
  let other = OtherThread(body)
  let thread = other.start()
  for _ in 0..<10_000 {
    if other.isOver.load(ordering: .acquiring) {
      pthread_join(thread, nil)
      return
    }
    usleep(1_000)
  }
  pthread_detach(thread)
}

/// A thread that nobody waits for.
func onOtherThreadForGood(_ body: @escaping @Sendable () -> Void) {
  pthread_detach(OtherThread(body).start())
}

private final class OtherThread: Sendable {
  let body: @Sendable () -> Void
  let isOver = Atomic<Bool>(false)
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  func start() -> pthread_t {
    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    let error = unsafe pthread_create(
      &thread, nil,
      { context in
        let other = unsafe Unmanaged<OtherThread>.fromOpaque(context!).takeRetainedValue()
        other.body()
        other.isOver.store(true, ordering: .releasing)
        return nil
      }, context)
    precondition(error == 0)
    return thread
  }
}

/// Runs the body where it is: an exit test is an asynchronous function, in which no thread is a CPU.
func onThisThread(_ body: () throws -> Void) throws { try body() }

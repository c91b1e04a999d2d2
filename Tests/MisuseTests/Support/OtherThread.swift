// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Another thread, while the calling one waits: for ten seconds, then it goes on without.
func onOtherThread(_ body: @escaping @Sendable () -> Void) {
  let other = OtherThread(body)
  var thread = pthread_t()
  let context = unsafe Unmanaged.passRetained(other).toOpaque()
  let error = unsafe pthread_create(
    &thread, nil,
    { context in
      let other = unsafe Unmanaged<OtherThread>.fromOpaque(context!).takeRetainedValue()
      other.body()
      other.isOver.store(true, ordering: .releasing)
      return nil
    }, context)
  precondition(error == 0)
  for _ in 0..<10_000 {
    if other.isOver.load(ordering: .acquiring) {
      pthread_join(thread, nil)
      return
    }
    usleep(1_000)
  }
  pthread_detach(thread)
}

private final class OtherThread: Sendable {
  let body: @Sendable () -> Void
  let isOver = Atomic<Bool>(false)
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

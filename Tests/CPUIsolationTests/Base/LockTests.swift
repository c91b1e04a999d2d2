// SPDX-License-Identifier: Apache-2.0

import CForks
import Glibc
import Testing

@testable import CPUIsolation

@Suite struct LockTests {
  @Test func oneThreadAtATime() throws {
    let counter = SharedCount()
    let threads = (0..<4).map { _ in
      PlainThread.start {
        for _ in 0..<10_000 { counter.count.withLock { $0 += 1 } }
      }
    }
    for thread in threads { try thread.value() }
    #expect(counter.count.withLock { $0 } == 40_000)
  }

  @Test func whoeverFindsItTakenGoesOn() throws {
    let counter = SharedCount()
    let (isHeld, mayGo) = (Flag(), Flag())
    #expect(counter.count.withLockIfAvailable { $0 } == 0)
    let holder = PlainThread.start {
      counter.count.withLock { _ in
        isHeld.raise()
        mayGo.wait()
      }
    }
    isHeld.wait()
    #expect(counter.count.withLockIfAvailable { $0 } == nil)
    mayGo.raise()
    try holder.value()
    #expect(counter.count.withLockIfAvailable { $0 } == 0)
  }

  @Test func takenTwiceByOneThread() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let counter = SharedCount()
      counter.count.withLock { _ in counter.count.withLock { $0 += 1 } }
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("a thread waits for a lock that it holds itself"), "\(text)")
  }

  #if !CPUISOLATION_THREAD_SANITIZER  // The sanitizer has no threads after a fork.
    /// The thread that forks has another id in the child, and holds locks under that.
    @Test func contendedInTheChildOfAFork() async {
      await #expect(processExitsWith: .success) {
        let counter = SharedCount()
        counter.count.withLock { $0 += 1 }
        let child = cfk_fork()
        if child == 0 {
          let isHeld = Flag()
          let other = PlainThread.start {
            isHeld.wait()
            counter.count.withLock { $0 += 1 }
          }
          counter.count.withLock {
            $0 += 1
            isHeld.raise()
            // The other one goes to sleep meanwhile, or does not: nothing else is asked of it.
            usleep(100_000)
          }
          try other.value()
          _exit(counter.count.withLock { $0 } == 3 ? 0 : 1)
        }
        try #require(child > 0, "no fork: errno \(errno)")
        #expect(cfk_end(child, 120) == 0)
      }
    }
  #endif

  private final class SharedCount: Sendable {
    let count = Lock(0)
  }
}

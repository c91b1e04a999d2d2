// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

/// What a real interrupt does to the system calls and the errno of the thread that it finds in
/// user.
@Suite("Interrupted system calls", .needsQueuedSignals)
struct InterruptedSystemCallTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let runs = Counter()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2, .signal))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  @Test("errno is what it was, whatever the handler did")
  func errnoSaved() throws {
    let loop = cpu.start { [runs] cpu in
      cpu.inUser {
        errno = 77
        while runs.value == 0 { sched_yield() }
        return errno
      }
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    let report = coordinator.call(on: [1], timeout: .seconds(20), isInterruptSafe: true) {
      [runs] _ in
      errno = 5
      runs.increment()
    }
    #expect(report[.executed] == [1])
    #expect(try loop.value() == 77)
    try cpu.end()
  }

  @Test("a sleep in user ends early, with EINTR: nanosleep does not restart")
  func interruptedSleep() throws {
    let work = try coordinator.registerSafe(counting: runs)
    let sleep = cpu.start { cpu in
      cpu.inUser {
        var duration = timespec(tv_sec: 20, tv_nsec: 0)
        let result = unsafe nanosleep(&duration, nil)
        return [result, errno]
      }
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    // Until the thread sleeps, the signal finds it awake; then it is sent again.
    #expect(
      eventually {
        coordinator.send(work, to: 1, urgency: .immediate)
        return sleep.isOver
      })
    #expect(try sleep.value() == [-1, EINTR])
    #expect(runs.value > 0)
    try cpu.end()
  }

  @Test("a read in user restarts: the loop does not notice")
  func restartedRead() throws {
    let work = try coordinator.registerSafe(counting: runs)
    var ends: [Int32] = [0, 0]
    #expect(unsafe pipe(&ends) == 0)
    let (input, output) = (ends[0], ends[1])
    let reading = cpu.start { cpu in
      cpu.inUser {
        var byte: UInt8 = 0
        return unsafe read(input, &byte, 1)
      }
    }
    #expect(eventually { coordinator.context(of: 1) == .user })
    for round in 1...20 {
      coordinator.send(work, to: 1, urgency: .immediate)
      #expect(eventually { runs.value == round })
    }
    #expect(!reading.isOver)
    var byte: UInt8 = 1
    #expect(unsafe write(output, &byte, 1) == 1)
    #expect(try reading.value() == 1)
    close(input)
    close(output)
    try cpu.end()
  }
}

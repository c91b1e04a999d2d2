// SPDX-License-Identifier: Apache-2.0

import CForks
import Glibc
import Testing

@testable import CPUIsolation

#if !CPUISOLATION_THREAD_SANITIZER  // The sanitizer has no threads after a fork.
  /// Each in a process of its own.
  @Suite("Children of a fork")
  struct ForkTests {
    @Test("a lock that another thread held at the fork is free in the child")
    func heldByAnother() async {
      await #expect(processExitsWith: .success) {
        let coordinator = try Coordinator(.scripted())
        _ = try coordinator.register("before") { _ in }
        _ = coordinator.statistics()
        let (isLocked, mayGo) = (Flag(), Flag())
        let holder = PlainThread.start {
          coordinator.registry.withLock { _ in
            isLocked.raise()
            mayGo.sleepUntilRaised()
          }
        }
        isLocked.wait()
        let child = cfk_fork()
        if child == 0 {
          _ = coordinator.statistics()
          _ = try coordinator.register("after") { _ in }
          _exit(coordinator.close() == .forked ? 0 : 1)
        }
        mayGo.raise()
        try holder.value()
        try #require(child > 0, "no fork: errno \(errno)")
        #expect(cfk_end(child, 60) == 0)
      }
    }

    @Test("a lock that the forking thread holds itself is free in the child once it has let go")
    func heldByItself() async {
      await #expect(processExitsWith: .success) {
        let coordinator = try Coordinator(.scripted())
        let child = coordinator.registry.withLock { _ in cfk_fork() }
        if child == 0 {
          _ = coordinator.statistics()
          _exit(coordinator.close() == .forked ? 0 : 1)
        }
        try #require(child > 0, "no fork: errno \(errno)")
        #expect(cfk_end(child, 60) == 0)
        // The parent has noticed nothing.
        #expect(coordinator.close(timeout: .seconds(60)) == .settled)
      }
    }

    @Test("the thread of a CPU is not waited for, and its coordinator ends, watchdog included")
    func ends() async {
      await #expect(processExitsWith: .success) {
        let stop = Flag()
        func used() throws -> (pid_t, Int32) {
          var configuration = Coordinator.Configuration.scripted()
          configuration.watchdog = .init(interval: .seconds(1000))
          let coordinator = try Coordinator(configuration)
          let thread = try coordinator.launch(on: 1) { _ in stop.sleepUntilRaised() }
          let child = cfk_fork()
          if child == 0 {
            let answers = [thread.join(), coordinator.close(), thread.join(timeout: .seconds(60))]
            return (0, answers == [.forked, .forked, .forked] ? 0 : 1)
          }
          stop.raise()
          #expect(thread.join(timeout: .seconds(60)) == .settled)
          return (child, 0)
        }
        let (child, status) = try used()
        if child == 0 { _exit(status) }
        try #require(child > 0, "no fork: errno \(errno)")
        #expect(cfk_end(child, 60) == 0)
      }
    }

    @Test("a CPU that a helper held at the fork goes on in the child")
    func pinned() async {
      await #expect(processExitsWith: .success) {
        let coordinator = try Coordinator(.scripted())
        let (isHelping, mayGo) = (Flag(), Flag())
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("slow", options: options) { _ in
          isHelping.raise()
          mayGo.sleepUntilRaised()
        }
        // The thread that forks is the CPU: the child has it.
        let status = try PlainThread.start {
          Result {
            try coordinator.attach(to: 1) { cpu -> Int32 in
              cpu.enterUser()
              let helper = PlainThread.start {
                coordinator.send(work, to: 1, urgency: .onBehalf)
              }
              isHelping.wait()
              let child = cfk_fork()
              if child == 0 {
                cpu.enterKernel()
                _exit(0)
              }
              mayGo.raise()
              _ = try helper.value()
              cpu.enterKernel()
              return cfk_end(child, 60)
            }
          }
        }.value().get()
        #expect(status == 0)
      }
    }
  }
#endif

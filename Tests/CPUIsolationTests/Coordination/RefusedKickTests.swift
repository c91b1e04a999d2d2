// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

/// Kicks by signal that the system refuses, since too many signals of the user are pending.
@Suite struct RefusedKickTests {
  private enum Failed: Int32 {
    case limit = 10
    case outcome, ranAnyway, statistics, deaf, silent
  }

  /// The soft limit of signals that may be queued for this user, from here on in this process.
  private static func limitPendingSignals(to count: UInt) -> Bool {
    let pendingSignals: UInt32 = 11  // RLIMIT_SIGPENDING, which has no name in Swift
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(pendingSignals), &limit) == 0 else { return false }
    limit.rlim_cur = min(count, limit.rlim_max)
    return unsafe setrlimit(__rlimit_resource_t(pendingSignals), &limit) == 0
  }

  @Test(.needsQueuedSignals)
  func anImmediateSendIsQueuedAndRunsOnceTheLimitIsLifted() async {
    await #expect(processExitsWith: .success) {
      func fail(_ reason: Failed) -> Never { exit(reason.rawValue) }
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.isolatedInterrupter = .signal
      let reports = Journal<Coordinator.StallReport>()
      configuration.watchdog = .init(stallThreshold: .milliseconds(10)) { reports.append($0) }
      let coordinator = try Coordinator(configuration)
      var options = WorkType.Options()
      options.isInterruptSafe = true
      let work = try coordinator.register("work", options: options) { _ in }
      let ready = Flag()
      let over = Flag()
      let thread = try coordinator.launch(on: 1) { cpu in
        cpu.inUser {
          ready.raise()
          while !over.isRaised { Flag.pause() }
        }
      }
      ready.sleepUntilRaised()
      guard RefusedKickTests.limitPendingSignals(to: 0) else { fail(.limit) }
      // Nothing was delivered, so nothing was interrupted.
      guard coordinator.send(work, to: 1, urgency: .immediate) == .queued else { fail(.outcome) }
      usleep(50_000)
      guard coordinator.statistics()[work, on: 1].executed == 0 else { fail(.ranAnyway) }
      let counts = coordinator.statistics()
      guard counts[cpu: 1].refusedKicks > 0, counts[work, on: 1].interrupted == 0,
        counts[work, on: 1].sent == 1, counts[work, on: 1].queued == 1
      else { fail(.statistics) }
      let isTold = eventually {
        reports.entries.contains {
          $0.kind == .kickUnanswered && $0.kickError == EAGAIN && !$0.kickedAgain
            && $0.description.contains("the system refuses the signal: EAGAIN: ")
        }
      }
      guard isTold else { fail(.silent) }
      guard RefusedKickTests.limitPendingSignals(to: 1000) else { fail(.limit) }
      // The watchdog tries again; the thread is in user all the time.
      guard eventually({ coordinator.statistics()[work, on: 1].executed == 1 }) else {
        fail(.deaf)
      }
      over.raise()
      thread.join()
      exit(0)
    }
  }
}

/// Work that makes more of itself each time it runs.
@Suite struct SelfRepostingTests {
  /// Posts its own call again from inside it.
  private final class Reposter: Sendable {
    let coordinator: Coordinator
    let isOver = Flag()
    private let runs = Atomic(0)
    // Safety: the pointee is a `CrossCall`, which any thread may post; it is freed after the CPU's
    // thread has been joined.
    private let call: Mutex<UInt>

    init(_ coordinator: Coordinator, isInterruptSafe: Bool) {
      self.coordinator = coordinator
      let call = UnsafeMutablePointer<CrossCall>.allocate(capacity: 1)
      self.call = Mutex(UInt(bitPattern: call))
      unsafe call.initialize(
        to: CrossCall(
          context: Unmanaged.passUnretained(self).toOpaque(), isInterruptSafe: isInterruptSafe
        ) { context, cpu in
          let reposter = unsafe Unmanaged<Reposter>.fromOpaque(context!).takeUnretainedValue()
          reposter.runs.wrappingAdd(1, ordering: .relaxed)
          if !reposter.isOver.isRaised { reposter.post(on: cpu) }
        })
    }

    var runCount: Int { runs.load(ordering: .relaxed) }

    func post(on cpu: Int) {
      let address = call.withLock { $0 }
      let call = unsafe UnsafeMutablePointer<CrossCall>(bitPattern: address).unsafelyUnwrapped
      unsafe coordinator.post(call.pointee, on: cpu)
    }
  }

  @Test(arguments: QueuedSignals.interrupters)
  func theLoopGoesOn(_ interrupter: Interrupter) throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.isolatedInterrupter = interrupter
    let coordinator = try Coordinator(configuration)
    let reposter = Reposter(coordinator, isInterruptSafe: true)
    let turns = Atomic(0)
    let over = Flag()
    let thread = try coordinator.launch(on: 1) { cpu in
      cpu.inUser {
        while !over.isRaised {
          turns.wrappingAdd(1, ordering: .relaxed)
          cpu.poll()
        }
      }
    }
    #expect(eventually { turns.load(ordering: .relaxed) > 100 })
    reposter.post(on: 1)
    #expect(eventually { reposter.runCount > 10 })
    let before = turns.load(ordering: .relaxed)
    #expect(eventually { turns.load(ordering: .relaxed) > before + 100 })
    // It goes on being called, too.
    let runs = reposter.runCount
    #expect(eventually { reposter.runCount > runs + 10 })
    reposter.isOver.raise()
    over.raise()
    thread.join()
  }
}

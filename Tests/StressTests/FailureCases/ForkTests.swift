// SPDX-License-Identifier: Apache-2.0

import CForks
import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// The child of a fork has one thread. What would wait for the others says so; what does not wait, works.
  /// In a process of its own: locks that other tests hold would stay held in the child.
  @Test func processForks() async {
    await #expect(processExitsWith: .success) { try Self.forkBesideCPUs() }
  }

  private static func forkBesideCPUs() throws {
    let coordinator = try Coordinator.quiet(housekeeping: [0], isolated: [1, 2])
    let work = try coordinator.register("work") { _ in }
    let spare = try coordinator.register("spare") { _ in }
    let stop = SharedFlag()
    let isThere = SharedFlag()
    let thread = try coordinator.launch(on: 1) { local in
      local.inUser {
        while !stop.isSet {
          local.poll()
          usleep(1000)
          isThere.set()
        }
      }
    }
    defer {
      stop.set()
      thread.join()
    }
    #expect(eventually { isThere.isSet })

    let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 1) { _, _ in }
    let child = cfk_fork()
    if child == 0 { _exit(Self.failuresInChild(coordinator, thread, work, spare, calls)) }
    try #require(child > 0, "no fork: errno \(errno)")
    let status = cfk_end(child, 120)
    #expect(status != -1, "the child waits for threads that it does not have")
    #expect(status & 0x7f == 0, "the child died of signal \(status & 0x7f)")
    #expect(status >> 8 & 0xff == 0, "step \(status >> 8 & 0xff) failed in the child")

    // The parent has noticed nothing.
    #expect(coordinator.call(on: [1], timeout: StressDuration.generous) { _ in }[.executed] == [1])
    try coordinator.synchronize(timeout: StressDuration.generous).get()
  }

  /// The number of the first step that went wrong; 0 if none did. It must not allocate much, lock what others held,
  /// or return to the test.
  private static func failuresInChild(
    _ coordinator: Coordinator, _ thread: CPUThread, _ work: WorkType, _ spare: WorkType,
    _ calls: CrossCallPool<Int>
  ) -> Int32 {
    func isRefused(_ action: () throws -> Void) -> Bool {
      do {
        try action()
        return false
      } catch let error as IsolationError {
        return error.code == .forked
      } catch {
        return false
      }
    }
    if !isRefused({ try coordinator.launch(on: 2) { _ in } }) { return 1 }
    if !isRefused({ _ = try coordinator.attach(to: 2) }) { return 2 }
    if !isRefused({ _ = try coordinator.attachHandle(to: 2) }) { return 3 }
    if !isRefused({ try coordinator.synchronize().get() }) { return 4 }
    if !isRefused({ try coordinator.unregister(spare) }) { return 5 }
    // Nobody answers, nobody is waited for.
    if !coordinator.call(on: [1, 2], timeout: nil, { _ in })[.executed].isEmpty { return 6 }
    let ticket = coordinator.sendWithTicket(work, to: [1])
    if ticket.wait(until: .executed) != .forked, !ticket.report[.gone].contains(1) {
      return 7
    }
    switch coordinator.send(work, to: 1) {
    case .deferred, .merged, .queued, .gone: break
    default: return 8
    }
    if unsafe coordinator.post(on: [1, 2], context: nil, { _, _ in })[.gone] != [1, 2] {
      return 10
    }
    if unsafe coordinator.post(CrossCall(context: nil) { _, _ in }, on: 1) != .gone { return 11 }
    // The record came home.
    if calls.post(1, on: 1) != .gone || calls.post(2, on: 1) != .gone { return 12 }
    if coordinator.close() != .forked { return 13 }
    if thread.join() != .forked { return 14 }
    if coordinator.send(work, to: 1) != .rejected(.closed) { return 9 }
    _ = coordinator.statistics()
    return 0
  }
}

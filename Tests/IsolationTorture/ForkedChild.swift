// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CTorture
internal import Glibc

/// Forks, and the child uses what it has: what would wait for threads that it has not says so.
struct ForkedChild {
  /// Forks again and again until the run is over.
  static func run(_ torture: Torture, _ worlds: [World]) {
    guard torture.faults.isOn(.fork) else { return }
    var turn = Turn(torture, stream: 32)
    // What the child does for the first time needs metadata, under locks that know nothing of forks.
    for world in worlds { _ = use(world, isChild: false) }
    while !torture.isOver {
      usleep(UInt32(100_000 + turn.random.below(300_000)))
      let world = worlds[turn.random.below(worlds.count)]
      let child = ctr_fork(true)
      if child == 0 {
        alarm(20)
        _exit(use(world, isChild: true))
      }
      turn.check(child > 0, "there is no fork: errno \(errno)")
      if child > 0 { wait(for: child, &turn) }
    }
  }

  private static func wait(for child: pid_t, _ turn: inout Turn) {
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 {
      if errno != EINTR { return turn.check(false, "a child is lost: errno \(errno)") }
    }
    let signal = status & 0x7f
    turn.check(
      signal == 0,
      signal == SIGALRM ? "a child of a fork hangs" : "a child of a fork died of signal \(signal)")
    let step = status >> 8 & 0xff
    turn.check(signal != 0 || step == 0, "step \(step) went wrong in a child of a fork")
    turn.count(.child)
  }

  /// The number of the first step that went wrong; 0 if none did.
  private static func use(_ world: World, isChild: Bool) -> Int32 {
    let coordinator = world.coordinator
    let isolated = coordinator.isolated
    if coordinator.synchronize(timeout: .seconds(5)) != (isChild ? .forked : .settled) { return 1 }
    switch coordinator.send(world.sends.work(.plain), to: 1) {
    case .deferred, .merged, .queued, .gone: break
    default: return 2
    }
    // The sender's account has it too, in the parent.
    if !isChild { world.sends.ledger.account(.plain, 1) }
    let ticket = coordinator.sendWithTicket(world.sends.work(.catchUp), to: [1])
    if !isChild { world.sends.ledger.account(.catchUp, 1) }
    let outcome = ticket.wait(until: .executed, timeout: .seconds(5))
    if isChild, outcome != .forked, outcome != .settled { return 3 }
    let report = coordinator.call(on: isolated, timeout: .seconds(5)) { _ in }
    if isChild, !report[.executed].isEmpty { return 4 }
    do throws(IsolationError) {
      _ = try coordinator.attach(to: 1)
      return 5
    } catch {
      if isChild, error.code != .forked { return 6 }
    }
    _ = coordinator.statistics()
    _ = coordinator.pendingWork
    if isChild {
      _ = coordinator.close(timeout: .milliseconds(10))
      if coordinator.send(world.sends.work(.plain), to: 1) != .rejected(.closed) { return 7 }
    }
    return 0
  }
}

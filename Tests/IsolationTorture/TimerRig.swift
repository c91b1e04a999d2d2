// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Deadlines that others bring forward: each is earlier than all before.
final class TimerRig: Sendable {
  private let kick: TimerKick
  private let numbers = WordTable(1)
  private let promised = WordTable(World.cpus)
  private static let latest: UInt64 = 1 << 62

  init(_ coordinator: Coordinator) throws(IsolationError) { kick = try TimerKick(coordinator) }

  func bringForward(_ turn: inout Turn) {
    let cpu = turn.random.below(World.cpus)
    let number = numbers.add(0)
    var outcome = SendOutcome.deferred
    if turn.bug != .lostTimer {
      outcome = kick.bringForward(
        to: Self.latest - number, on: cpu, urgency: SendRig.urgency(&turn.random))
    }
    turn.count(.timer)
    switch outcome {
    case .gone: break
    case .rejected, .skipped: turn.check(false, "a deadline was \(outcome)")
    default: promised.raise(cpu, to: number)
    }
  }

  /// What an owner has to know after its next entry.
  func promise(to cpu: Int) -> UInt64 { promised.loadAcquiring(cpu) }

  func look(_ cpu: borrowing LocalCPU, _ promise: UInt64, _ turn: inout Turn) {
    let deadline = kick.deadline(on: cpu)
    let known = deadline.map { Self.latest - $0 } ?? 0
    turn.check(
      known >= promise, "CPU \(cpu.number) knows of deadline \(known), and was promised \(promise)")
    if turn.random.oneIn(16) { kick.setDeadline(deadline, on: cpu) }
  }

  func finish(_ torture: Torture) {
    let outcome = kick.close(timeout: Torture.generous)
    torture.violations.check(outcome == .settled, "a timer kick closes as \(outcome)")
  }
}

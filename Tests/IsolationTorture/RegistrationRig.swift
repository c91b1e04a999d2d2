// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// Work types that come and go while they are sent: no handler runs once its type has been unregistered.
final class RegistrationRig: Sendable {
  private let coordinator: Coordinator
  private let torture: Torture

  init(_ coordinator: Coordinator, _ torture: Torture) {
    self.coordinator = coordinator
    self.torture = torture
  }

  /// Registers a type, sends it, and unregisters it, by a thread that is no CPU.
  func change(_ turn: inout Turn) {
    guard let (work, living) = register(&turn) else { return }
    for _ in 0..<turn.random.below(20) {
      coordinator.send(work, to: coordinator.cpus, urgency: SendRig.urgency(&turn.random))
      turn.spin()
    }
    unregister(work, living, &turn)
  }

  private func register(_ turn: inout Turn) -> (WorkType, WordTable)? {
    let living = WordTable(1, 1)
    let torture = torture
    do throws(IsolationError) {
      let deliveries: [WorkType.Delivery] = [.bit, .catchUp, .merging(.union)]
      var options = WorkType.Options(delivery: deliveries[turn.random.below(3)])
      options.mayRunOnBehalf = turn.random.oneIn(2)
      // Somebody has to be able to enforce it.
      if options.mayRunOnBehalf, turn.random.oneIn(2) { options.maximumAge = .milliseconds(10) }
      let work = try coordinator.register("passing", options: options) { (cpu: Int) in
        if living.load(0) != 1 { torture.violations.tally(.ranAfterEnd, type: -4, cpu: cpu) }
        torture.faults.reachInHandler(.inHandler)
        if living.load(0) != 1 { torture.violations.tally(.ranAfterEnd, type: -4, cpu: cpu) }
        torture.counts.add(.run, row: 35)
      }
      return (work, living)
    } catch {
      turn.check(
        error.code == .tooManyWorkTypes && torture.faults.isOn(.exhaust),
        "a type was not registered: \(error)")
      return nil
    }
  }

  private func unregister(_ work: WorkType, _ living: WordTable, _ turn: inout Turn) {
    if turn.bug == .earlyUnregister { living.store(0, 0) }
    do throws(IsolationError) {
      try coordinator.unregister(work, timeout: Torture.generous)
      living.store(0, 0)
    } catch {
      turn.check(false, "a type was not unregistered: \(error)")
    }
    turn.check(
      coordinator.send(work, to: 0) == .rejected(.unregistered), "a type that has gone is sent")
    turn.count(.registration)
  }

  /// Takes all work types that there are, and gives them back.
  func exhaust(_ turn: inout Turn) {
    var works: [WorkType] = []
    while works.count <= WorkType.capacity {
      guard let work = try? coordinator.register("one of many", { (_: Int) in }) else { break }
      works.append(work)
    }
    turn.check(works.count < WorkType.capacity, "there is no end of work types")
    for work in works {
      do throws(IsolationError) {
        try coordinator.unregister(work, timeout: Torture.generous)
      } catch {
        turn.check(false, "one of many types was not unregistered: \(error)")
      }
    }
  }
}

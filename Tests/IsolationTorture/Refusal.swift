// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CTorture
internal import Glibc

/// Threads to which the system refuses something: each installs its filter, uses the library, and ends.
struct Refusal {
  /// Starts one such thread after the other until the run is over.
  static func run(_ torture: Torture, _ worlds: [World]) {
    let faults: [(Fault, Int)] = [
      (.affinity, ctr_affinity), (.membarrier, ctr_membarrier),
      (.signals, ctr_signals),
      (.memory, ctr_memory), (.memory, ctr_threads),
    ]
    let asked = faults.filter { torture.faults.isOn($0.0) }
    if asked.isEmpty { return }
    var random = SeededGenerator(seed: torture.options.seed, stream: 31)
    while !torture.isOver {
      let (fault, call) = asked[random.below(asked.count)]
      let seed = random.below(1 << 30)
      let thread = TortureThread {
        var turn = Turn(torture, stream: 31)
        turn.random = SeededGenerator(seed: UInt64(seed), stream: 31)
        let error = ctr_refuse(UInt32(call))
        turn.check(error == 0, "\(fault) cannot be refused: errno \(error)")
        if error == 0 { meet(fault, worlds, &turn) }
      }
      torture.violations.check(thread != nil, "there is no thread to be refused something")
      thread?.join()
      if torture.faults.isOn(.signals), random.oneIn(4) { limitSignals(torture) }
      usleep(3000)
    }
  }

  /// Lets no signal be queued for a while, for the whole process.
  private static func limitSignals(_ torture: Torture) {
    var error = ctr_limit_queued_signals(0)
    usleep(2000)
    if error == 0 { error = ctr_limit_queued_signals(-1) }
    torture.violations.check(error == 0, "the limit of signals is not changed: errno \(error)")
  }

  private static func meet(_ fault: Fault, _ worlds: [World], _ turn: inout Turn) {
    switch fault {
    case .affinity: launchUnbound(&turn)
    case .membarrier: makeDomain(&turn)
    case .signals:
      for world in worlds {
        for _ in 0..<50 {
          let coordinator = world.coordinator
          world.sends.send(with: coordinator, by: World.refusedWriter, &turn) {
            coordinator.send($0, to: $1, urgency: .immediate)
          }
        }
      }
    default: make(&turn)
    }
    turn.count(.refusal)
  }

  // MARK: Affinity

  private static func launchUnbound(_ turn: inout Turn) {
    for pinning in [Coordinator.Configuration.Pinning.wherePossible, .sameNumber] {
      do throws(IsolationError) {
        let coordinator = try Coordinator(
          .init(housekeeping: [], isolated: [0], pinning: pinning, watchdog: nil, traceEvents: 2))
        let thread = try coordinator.launch(on: 0) { local in local.inUser {} }
        turn.check(
          pinning == .wherePossible && !thread.isPinned,
          "a thread is bound to a processor, which was refused")
        thread.join()
        coordinator.close()
      } catch {
        turn.check(
          pinning == .sameNumber && error.code == .pinningRefused,
          "a thread that cannot be bound is refused as \(error)")
      }
    }
  }

  // MARK: Membarrier

  private static func makeDomain(_ turn: inout Turn) {
    do throws(IsolationError) {
      _ = try HazardDomain(fence: .membarrier)
    } catch {
      return turn.check(error.code == .fenceRefused, "a fence is refused as \(error)")
    }
    turn.check(false, "a domain has a fence that the system does not have")
  }

  // MARK: Memory and threads

  private static func make(_ turn: inout Turn) {
    for _ in 0..<4 {
      do throws(IsolationError) {
        try makeOne(&turn)
      } catch {
        turn.check(
          [.outOfMemory, .threadCreationFailed].contains(error.code),
          "a lack of memory or threads is told as \(error)")
      }
    }
  }

  private static func makeOne(_ turn: inout Turn) throws(IsolationError) {
    switch turn.random.below(6) {
    case 0: _ = try RawObjectPool(capacity: 100_000, objectBytes: 64)
    case 1: _ = try RegionMap<UInt64>(capacity: 100_000)
    case 2: _ = try HazardDomain()
    case 3: _ = try AddressSpace.PageTable(pages: 1 << 20)
    case 4: _ = try FlushLog(ranges: 4096)
    default:
      let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1], pinning: .none))
      defer { coordinator.close(timeout: Torture.generous) }
      _ = try StaticKeys(coordinator)
      try TimerKick(coordinator).close(timeout: Torture.generous)
      try LookupCache<UInt64, UInt64>(coordinator, "lookup").close(timeout: Torture.generous)
      try coordinator.launch(on: 1) { local in local.inUser {} }.join()
    }
  }
}

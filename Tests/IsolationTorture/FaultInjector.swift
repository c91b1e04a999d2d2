// SPDX-License-Identifier: Apache-2.0

internal import CTorture
internal import Glibc

/// Holds threads up: at the numbered points, and by signals at any instruction.
struct FaultInjector: Sendable {
  let faults: Set<Fault>
  private let ticks = WordTable(FaultPoint.allCases.count + 1)

  func isOn(_ fault: Fault) -> Bool { faults.contains(fault) }

  /// A point outside handlers.
  @inline(__always)
  func reach(_ point: FaultPoint, _ random: inout SeededGenerator) {
    if faults.isEmpty { return }
    ticks.add(point.rawValue)
    if isOn(.yield), random.oneIn(64) { sched_yield() }
    if isOn(.delay), random.oneIn(2048) { usleep(UInt32(random.below(300))) }
  }

  /// A point inside a handler, which may be one of a signal.
  @inline(__always)
  func reachInHandler(_ point: FaultPoint) {
    if faults.isEmpty { return }
    let tick = ticks.add(point.rawValue)
    if isOn(.yield), tick & 127 == 0 { sched_yield() }
    if isOn(.delay), tick & 4095 == 5 { usleep(UInt32(tick >> 12 & 63)) }
  }

  /// How often each point was reached.
  func count(of point: FaultPoint) -> UInt64 { ticks.load(point.rawValue) }

  /// Disturbs threads by signals until the run is over.
  func disturb(_ torture: Torture) {
    guard isOn(.delay) || isOn(.yield) else { return }
    var random = SeededGenerator(seed: torture.options.seed, stream: 900)
    while !torture.isOver {
      for _ in 0..<4 {
        if let thread = DisturbedThreads.any(&random) {
          // It may have ended: then nobody is disturbed.
          _ = ctr_signal_thread(thread, ctr_disturbance())
        }
      }
      usleep(UInt32(200 + random.below(2000)))
    }
  }
}

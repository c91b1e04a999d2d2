// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// The thread that nobody may disturb: it stays in user, measures what is taken from it, and enters
/// kernel now and then.
struct IsolatedLoop {
  let witness: Witness
  let stop: StopFlag

  /// How long a stay in user lasts, and the long one now and then, in which deferred work gets
  /// visibly old.
  static let stay = Duration.milliseconds(2)
  static let longStay = Duration.milliseconds(100)
  static let staysPerLongStay = 32

  /// Runs until it is told to stop, and returns what was taken from it.
  func run(_ cpu: borrowing LocalCPU) -> NoiseReport {
    let number = cpu.number
    let stay = CycleClock.cycles(of: Self.stay)
    let longStay = CycleClock.cycles(of: Self.longStay)
    var meter = NoiseMeter()
    var value: UInt64 = 1
    var stays = 0
    while !stop.isSet {
      stays += 1
      let length = stays % Self.staysPerLongStay == 0 ? longStay : stay
      cpu.user {
        // What the kernel section and the way out took, drains included.
        meter.sample(after: .drain)
        let begin = CycleClock.now
        var runs = witness.runs(on: number)
        while CycleClock.now &- begin < length, !stop.isSet {
          value = Self.step(value)
          let now = witness.runs(on: number)
          meter.sample(after: now == runs ? .unknown : .signal)
          runs = now
        }
        witness.expect(on: number)
      }
      witness.check(on: number)
    }
    stop.keep(value)
    return meter.report
  }

  /// What a loop leaves behind for whoever joins its thread.
  final class Result: Sendable {
    private let report = Mutex<NoiseReport?>(nil)

    var value: NoiseReport? { report.withLock { $0 } }

    func set(_ value: NoiseReport) { report.withLock { $0 = value } }
  }

  /// The loop's own work, which touches nothing that housekeepers maintain: a few steps of a
  /// generator.
  @inline(__always)
  static func step(_ value: UInt64) -> UInt64 {
    var value = value
    for _ in 0..<8 { value = value &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407 }
    return value
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// The thread that nobody may disturb: it stays in user, measures what is taken from it, and enters
/// kernel now and then, where it executes and reads what housekeepers maintain.
struct IsolatedLoop {
  let witness: Witness
  let live: LiveState
  let stop: StopFlag

  /// How long a stay in user lasts, and the long one now and then, in which deferred work gets
  /// visibly old.
  static let stay = Duration.milliseconds(2)
  static let longStay = Duration.milliseconds(100)
  static let staysPerLongStay = 32
  /// Between two stays entries are microseconds apart, for so long and so often at most: what is
  /// wrong for a moment alone is met as well.
  static let hurry = Duration.milliseconds(1)
  static let entriesPerHurry = 200
  /// The shortest stay in a hurry; the longest is 64 times as long.
  private static let shortStay = Duration.nanoseconds(200)

  /// What a loop found out.
  struct Outcome: Sendable {
    var noise: Noise
    var checked: Checked
  }

  /// Runs until it is told to stop, and returns what was taken from it.
  func run(_ cpu: borrowing LocalCPU) -> Outcome {
    let number = cpu.number
    let stay = CycleClock.cycles(of: Self.stay)
    let longStay = CycleClock.cycles(of: Self.longStay)
    let hurry = CycleClock.cycles(of: Self.hurry)
    let shortStay = CycleClock.cycles(of: Self.shortStay)
    let translations = live.pages.space.open(on: cpu)
    var inspection = Inspection(live, cpu: number)
    var noise = Noise(cpu: number)
    var meter = NoiseMeter()
    var value: UInt64 = 1
    var stays = 0
    while !stop.isSet {
      stays += 1
      let length = stays % Self.staysPerLongStay == 0 ? longStay : stay
      meter.reset()
      cpu.inUser {
        inspection.begin(on: cpu)
        // What the way out took.
        meter.sample(after: .drain)
        let begin = CycleClock.now
        var runs = witness.runs(on: number)
        while CycleClock.now &- begin < length, !stop.isSet {
          value = Self.step(value)
          let now = witness.runs(on: number)
          meter.sample(after: now == runs ? .unknown : .signal)
          runs = now
        }
        inspection.prepareToEnter(on: cpu)
        inspection.end(on: cpu)
        witness.expect(on: number)
      }
      witness.check(on: number)
      inspection.look(on: cpu, through: translations, rounds: 1)
      // What the way in and the kernel section took, drains included.
      meter.sample(after: .drain)
      noise.add(meter.report)
      let begin = CycleClock.now
      var entries = 0
      while CycleClock.now &- begin < hurry, entries < Self.entriesPerHurry, !stop.isSet {
        entries += 1
        cpu.inUser {
          inspection.begin(on: cpu)
          inspection.prepareToEnter(on: cpu)
          // The rest of the stay. What arrives now is for the entry to find.
          let begin = CycleClock.now
          let length = shortStay &* UInt64(inspection.length())
          while CycleClock.now &- begin < length { value = Self.step(value) }
          inspection.end(on: cpu)
          witness.expect(on: number)
        }
        witness.check(on: number)
        inspection.look(on: cpu, through: translations, rounds: inspection.length())
      }
    }
    stop.keep(value)
    return Outcome(noise: noise, checked: inspection.checked)
  }

  /// What a loop leaves behind for whoever joins its thread.
  final class Result: Sendable {
    private let outcome = Mutex<Outcome?>(nil)

    var value: Outcome? { outcome.withLock { $0 } }

    func set(_ value: Outcome) { outcome.withLock { $0 = value } }
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

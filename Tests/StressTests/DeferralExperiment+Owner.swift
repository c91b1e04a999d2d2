// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc

extension DeferralExperiment {
  /// An isolated CPU's life. After each entry and safe point it checks every promise that it had read before.
  func own(_ local: borrowing LocalCPU, _ cpu: Int) {
    var random = SeededGenerator(seed: scenario.seed, stream: 1000 + cpu)
    while !stop.isSet {
      let promises = live(local, cpu, &random)
      ledger.check(promises.numbers, of: cpu, after: promises.action, violations)
      if random.oneIn(4) { ledger.checkDeferred(to: cpu, violations) }
      if random.oneIn(20) { sendToOthers(local, cpu, &random) }
    }
    let promises = ledger.promises(to: cpu)
    local.inUser {}
    ledger.check(promises, of: cpu, after: "its last entry", violations)
  }

  /// One step, and the promises that were read before its last look at what is pending.
  private func live(
    _ local: borrowing LocalCPU, _ cpu: Int, _ random: inout SeededGenerator
  ) -> (numbers: DeferralLedger.Promises, action: String) {
    let length = random.below(200)
    let yields = random.oneIn(8)
    var promises = ledger.promises(to: cpu)
    switch random.below(9) {
    case 0, 1, 2:
      local.inUser {
        spin(length, yields)
        promises = ledger.promises(to: cpu)
      }
      return (promises, "user { }")
    case 3:
      local.enterUser()
      spin(length, yields)
      local.poll()
      promises = ledger.promises(to: cpu)
      local.enterKernel()
      return (promises, "enterKernel()")
    case 4:
      local.inUser {
        for _ in 0..<4 {
          spin(length / 4, false)
          local.poll()
          promises = ledger.promises(to: cpu)
          local.inKernel {
            ledger.check(promises, of: cpu, after: "kernel { }", violations)
            local.inKernel { spin(length / 8, yields) }
            ledger.checkDeferred(to: cpu, violations)
          }
        }
        promises = ledger.promises(to: cpu)
      }
      return (promises, "user { kernel { } }")
    case 5:
      let handle = local.handle
      handle.enterUser()
      spin(length, yields)
      promises = ledger.promises(to: cpu)
      handle.enterKernel()
      return (promises, "CPUHandle.enterKernel()")
    case 6:
      local.inGuest {
        spin(length, yields)
        promises = ledger.promises(to: cpu)
      }
      return (promises, "guest { }")
    case 7:
      local.idle(for: .microseconds(random.below(100)))
      return (promises, "idle()")
    default:
      spin(length, yields)
      promises = ledger.promises(to: cpu)
      if random.oneIn(2) { local.declareQuiescent() } else { local.safePoint() }
      return (promises, "a safe point")
    }
  }

  private func spin(_ length: Int, _ yields: Bool) {
    for _ in 0..<length where stop.isSet { return }
    if yields {
      sched_yield()
      // ThreadSanitizer delivers signals inside calls that it intercepts, and nowhere else.
      if StressDuration.isThreadSanitized { usleep(1) }
    }
  }

  /// A CPU is a sender too: to its neighbour, and to itself, where the work runs at once.
  private func sendToOthers(
    _ local: borrowing LocalCPU, _ cpu: Int, _ random: inout SeededGenerator
  ) {
    let type = random.below(scenario.types)
    let writer = scenario.senders + cpu
    let other = (cpu + 1) % scenario.isolated
    if other != cpu {
      let number = ledger.issue(by: writer, type: type, cpu: other)
      let outcome = local.send(works[type], to: other)
      if outcome != .gone { ledger.promise(number, by: writer, type: type, cpu: other) }
    }
    let number = ledger.issue(by: writer, type: type, cpu: cpu)
    let outcome = local.send(works[type], to: cpu)
    let seen = ledger.seen(of: writer, type: type, cpu: cpu)
    violations.check(
      outcome == .ranInline && seen >= number,
      "a send of CPU \(cpu) to itself was \(outcome), sent \(number), seen \(seen)")
    ledger.promise(number, by: writer, type: type, cpu: cpu)
  }
}

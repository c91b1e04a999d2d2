// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc

extension DeferralExperiment {
  /// Sends at random until the time is over, and keeps the books of what was promised.
  func send(_ writer: Int, _ until: Until) {
    var random = SeededGenerator(seed: scenario.seed, stream: writer)
    do {
      let sender = try coordinator.makeSender()
      while !until.isOver {
        for _ in 0..<64 {
          let type = random.below(scenario.types)
          let urgency = scenario.urgencies.randomElement(using: &random)!
          if scenario.tickets, random.oneIn(200) {
            sendAndWait(writer, type, urgency, &random)
          } else if random.oneIn(4) {
            sendToMany(sender, writer, type, urgency, &random)
          } else {
            sendToOne(sender, writer, type, urgency, random.below(scenario.isolated))
          }
        }
        if random.oneIn(4) { sched_yield() }
      }
    } catch {
      violations.note("sender \(writer): \(error)")
    }
  }

  private func sendToOne(
    _ sender: borrowing Sender, _ writer: Int, _ type: Int, _ urgency: WorkType.Urgency, _ cpu: Int
  ) {
    let number = ledger.issue(by: writer, type: type, cpu: cpu)
    let outcome =
      switch (scenario.sharesSlot, urgency) {
      case (true, _): coordinator.send(works[type], to: cpu, urgency: urgency)
      case (false, .deferrable): sender.send(works[type], to: cpu)
      case (false, _): sender.send(works[type], to: cpu, urgency: urgency)
      }
    accept(outcome, of: number, writer, type, cpu, urgency)
  }

  private func sendToMany(
    _ sender: borrowing Sender, _ writer: Int, _ type: Int, _ urgency: WorkType.Urgency,
    _ random: inout SeededGenerator
  ) {
    let mask = CPUMask((0..<scenario.isolated).filter { _ in !random.oneIn(3) })
    let skipped = random.below(scenario.isolated + 1)
    var numbers: [Int: UInt64] = [:]
    for cpu in mask where cpu != skipped {
      numbers[cpu] = ledger.issue(by: writer, type: type, cpu: cpu)
    }
    let report =
      scenario.sharesSlot
      ? coordinator.send(works[type], to: mask, urgency: urgency, where: { $0 != skipped })
      : sender.send(works[type], to: mask, urgency: urgency, where: { $0 != skipped })
    accept(report, of: numbers, mask, skipped, writer, type)
  }

  private func sendAndWait(
    _ writer: Int, _ type: Int, _ urgency: WorkType.Urgency, _ random: inout SeededGenerator
  ) {
    let cpu = random.below(scenario.isolated)
    let number = ledger.issue(by: writer, type: type, cpu: cpu)
    let ticket = coordinator.sendWithTicket(works[type], to: [cpu], urgency: urgency)
    accept(ticket.report, of: [cpu: number], [cpu], -1, writer, type)
    if random.oneIn(2) {
      let covered = ticket.wait(until: .covered, timeout: StressDuration.generous)
      violations.check(covered == .settled, "a ticket for CPU \(cpu) was not covered: \(covered)")
    }
    let outcome = ticket.wait(until: .executed, timeout: StressDuration.generous)
    violations.check(outcome == .settled, "a ticket for CPU \(cpu) was not executed: \(outcome)")
    let seen = ledger.seen(of: writer, type: type, cpu: cpu)
    violations.check(
      outcome != .settled || seen >= number,
      "the ticket of send \(number) of writer \(writer) to CPU \(cpu) says executed, but \(seen) was seen"
    )
  }

  private func accept(
    _ report: Report<SendOutcome>, of numbers: [Int: UInt64], _ mask: CPUMask, _ skipped: Int,
    _ writer: Int, _ type: Int
  ) {
    var parts = 0
    for part in [
      report[.deferred], report[.merged], report[.queued], report[.interrupted], report[.ranInline],
      report[.ranOnBehalf], report[.skipped], report[.gone],
    ] { parts += part.count }
    let all = report.covered.union(report[.skipped]).union(report[.gone])
    violations.check(
      all == mask && parts == mask.count, "a send to \(mask) was reported as \(report)")
    violations.check(
      report[.skipped] == mask.intersection(skipped < 0 ? [] : [skipped]),
      "a send to \(mask) without \(skipped) skipped \(report[.skipped])")
    violations.check(report[.gone].isEmpty, "a send to attached CPUs was \(report)")
    for (cpu, number) in numbers where report.covered.contains(cpu) {
      ledger.promise(
        number, by: writer, type: type, cpu: cpu, isDeferred: report[.deferred].contains(cpu))
    }
  }

  private func accept(
    _ outcome: SendOutcome, of number: UInt64, _ writer: Int, _ type: Int, _ cpu: Int,
    _ urgency: WorkType.Urgency
  ) {
    switch (outcome, urgency) {
    case (.deferred, .deferrable), (.deferred, .onBehalf), (.merged, _), (.queued, _): break
    case (.interrupted, .immediate): break
    case (.ranOnBehalf, .onBehalf):
      let seen = ledger.seen(of: writer, type: type, cpu: cpu)
      violations.check(seen >= number, "send \(number) ran on behalf, and saw \(seen)")
    default: return violations.note("a send \(urgency) to CPU \(cpu), attached, was \(outcome)")
    }
    ledger.promise(
      number, by: writer, type: type, cpu: cpu, isDeferred: outcome == .deferred)
  }
}

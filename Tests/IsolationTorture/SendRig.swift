// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A world's work types, and what is sent.
final class SendRig: Sendable {
  let ledger: SendLedger
  let works: [WorkType]
  private let handlers: [SendHandler]
  private let coordinator: Coordinator
  private let torture: Torture

  init(_ coordinator: Coordinator, writers: Int, _ torture: Torture) throws(IsolationError) {
    self.coordinator = coordinator
    self.torture = torture
    let ledger = SendLedger(cpus: World.cpus, writers: writers)
    self.ledger = ledger
    let handlers = SendKind.allCases.map { SendHandler($0, ledger, coordinator, torture) }
    self.handlers = handlers
    var works: [WorkType] = []
    for handler in handlers { works.append(try handler.register()) }
    self.works = works
  }

  func work(_ kind: SendKind) -> WorkType { works[kind.rawValue] }

  // MARK: One CPU

  /// Sends at random to one CPU. `plain` is the short form of the sender's own type.
  func send<S: WorkSender & ~Copyable>(
    with sender: borrowing S, by writer: Int, _ turn: inout Turn,
    plain: (WorkType, Int) -> SendOutcome
  ) {
    let kind = SendKind.allCases[turn.random.below(SendKind.allCases.count)]
    let cpu = turn.random.below(World.cpus)
    let urgency = Self.urgency(&turn.random)
    let work = work(kind)
    let target = turn.bug == .wrongCPU ? (cpu + 1) % World.cpus : cpu
    let number = begin(kind, cpu, writer, turn.bug)
    turn.reach(.beforeSend)
    let outcome: SendOutcome
    var maximum: UInt64 = 0
    if kind.hasPayload, !turn.random.oneIn(4) {
      let payload = payload(kind, writer, &maximum)
      outcome = sender.send(work, to: target, payload: payload, urgency: urgency)
      turn.count(.payloadSend)
    } else if turn.random.oneIn(2) {
      outcome = plain(work, target)
      turn.count(.send)
    } else {
      outcome = sender.send(work, to: target, urgency: urgency)
      turn.count(.send)
    }
    turn.reach(.afterSend)
    if turn.bug == .lateDatum { ledger.issue(number, by: writer, kind, cpu) }
    accept(outcome, number, maximum, kind, cpu, writer, &turn)
  }

  private func begin(_ kind: SendKind, _ cpu: Int, _ writer: Int, _ bug: SeededBug?) -> UInt64 {
    let number = ledger.number(by: writer, kind, cpu)
    if bug != .lateDatum { ledger.issue(number, by: writer, kind, cpu) }
    return number
  }

  private func payload(
    _ kind: SendKind, _ writer: Int, _ maximum: inout UInt64
  ) -> WorkType.Payload {
    switch kind {
    case .union: return WorkType.Payload(rawValue: 1 << UInt64(writer))
    case .hull: return .range(UInt32(writer)..<UInt32(writer + 1))
    default:
      maximum = ledger.drawMaximum()
      return WorkType.Payload(rawValue: maximum)
    }
  }

  private func accept(
    _ outcome: SendOutcome, _ number: UInt64, _ maximum: UInt64, _ kind: SendKind, _ cpu: Int,
    _ writer: Int, _ turn: inout Turn
  ) {
    switch outcome {
    case .skipped, .rejected: return turn.check(false, "a send of \(kind) was \(outcome)")
    case .gone: return ledger.account(kind, cpu)
    case .ranInline, .ranOnBehalf:
      let seen = ledger.seen(of: writer, kind, cpu)
      turn.check(
        seen >= number || turn.bug == .wrongCPU,
        "send \(number) of \(kind) to CPU \(cpu) was \(outcome), and \(seen) was seen")
    case .deferred, .merged, .queued, .interrupted: break
    }
    ledger.account(kind, cpu)
    if turn.bug == .unbalancedAccount, turn.random.oneIn(500) { ledger.account(kind, cpu) }
    ledger.promise(number, by: writer, kind, cpu)
    if maximum != 0 { ledger.promiseMaximum(maximum, cpu) }
  }

  // MARK: Many CPUs

  /// Sends at random to a mask, with or without a predicate.
  func sendToMask<S: WorkSender & ~Copyable>(
    with sender: borrowing S, by writer: Int, _ turn: inout Turn
  ) {
    let kind = SendKind.allCases[turn.random.below(SendKind.allCases.count)]
    let mask = CPUMask((0..<World.cpus).filter { _ in !turn.random.oneIn(3) })
    let left = turn.random.below(World.cpus + 2)
    let urgency = Self.urgency(&turn.random)
    let numbers = begin(kind, mask.subtracting([left]), writer)
    let torture = torture
    let report =
      turn.random.oneIn(2)
      ? sender.send(work(kind), to: mask, urgency: urgency) { cpu in
        torture.faults.reachInHandler(.inPredicate)
        return cpu != left
      } : sender.send(work(kind), to: mask.subtracting([left]), urgency: urgency)
    turn.count(.maskSend)
    let rest = mask.subtracting([left])
    turn.check(
      report.refusal == nil && report[.skipped].isSubset(of: [left]),
      "a send of \(kind) to \(mask) without \(left) was \(report)")
    accept(report, numbers, rest, kind, writer, &turn)
  }

  private func begin(_ kind: SendKind, _ mask: CPUMask, _ writer: Int) -> [(Int, UInt64)] {
    mask.map { cpu in
      let number = ledger.number(by: writer, kind, cpu)
      ledger.issue(number, by: writer, kind, cpu)
      return (cpu, number)
    }
  }

  private func accept(
    _ report: Report<SendOutcome>, _ numbers: [(Int, UInt64)], _ mask: CPUMask, _ kind: SendKind,
    _ writer: Int, _ turn: inout Turn
  ) {
    let known = report.covered.union(report[.gone])
    turn.check(known == mask, "a send of \(kind) to \(mask) was reported as \(report)")
    for (cpu, number) in numbers {
      ledger.account(kind, cpu)
      if report.covered.contains(cpu) { ledger.promise(number, by: writer, kind, cpu) }
    }
  }

  /// Sends with a ticket, and waits for what it says.
  func sendWithTicket<S: WorkSender & ~Copyable>(
    with sender: borrowing S, by writer: Int, _ turn: inout Turn
  ) {
    let kind = SendKind.allCases[turn.random.below(SendKind.allCases.count)]
    let cpu = turn.random.below(World.cpus)
    let numbers = begin(kind, [cpu], writer)
    let ticket = sender.sendWithTicket(
      work(kind), to: [cpu], urgency: Self.urgency(&turn.random))
    accept(ticket.report, numbers, [cpu], kind, writer, &turn)
    turn.reach(.beforeWait)
    var state = Ticket.State.executed
    if turn.bug != .falseExecuted {
      let outcome = wait(for: ticket, &turn)
      turn.check(outcome == .settled, "a ticket of \(kind) for CPU \(cpu) was \(outcome)")
      state = ticket.state(of: cpu)
    }
    turn.count(.ticket)
    guard state == .executed, !ticket.report[.gone].contains(cpu) else { return }
    let seen = ledger.seen(of: writer, kind, cpu)
    turn.check(
      seen >= numbers[0].1,
      "CPU \(cpu) has executed send \(numbers[0].1) of \(kind) by its ticket, and has seen \(seen)")
  }

  private func wait(for ticket: Ticket, _ turn: inout Turn) -> WaitOutcome {
    if turn.random.oneIn(4) {
      let outcome = ticket.wait(until: .covered, timeout: Torture.generous)
      if outcome != .settled { return outcome }
    }
    if turn.random.oneIn(16) {
      return TaskWait.run { try await ticket.wait(until: .executed, timeout: Torture.generous) }
    }
    return ticket.wait(until: .executed, timeout: Torture.generous)
  }

  static func urgency(_ random: inout SeededGenerator) -> WorkType.Urgency {
    switch random.below(8) {
    case 0: .immediate
    case 1: .onBehalf
    default: .deferrable
    }
  }

  // MARK: The end

  /// Whether every account balances, once no thread is left.
  func checkAccounts(_ world: String) {
    let statistics = coordinator.statistics()
    for kind in SendKind.allCases {
      for cpu in 0..<World.cpus {
        let counts = statistics[work(kind), on: cpu]
        let deferred = kind == .catchUp ? counts.deferred : 0
        let sum = counts.executed + counts.merged + counts.pending + counts.gone + deferred
        let name = "\(kind) on CPU \(cpu) of \(world)"
        torture.violations.check(counts.sent == sum, "\(name) is out of balance: \(counts)")
        torture.violations.check(
          counts.sent == ledger.sent(kind, cpu),
          "\(name): \(ledger.sent(kind, cpu)) sends were made, \(counts.sent) are counted")
        let runs = ledger.runs(kind, cpu)
        let counted = counts.executed + counts.caughtUp
        torture.violations.check(
          // A run that has nothing to tell calls nobody.
          kind.options.delivery == .bit ? runs == counted : runs <= counted,
          "\(name): the handler ran \(runs) times, \(counted) are counted")
      }
    }
  }
}

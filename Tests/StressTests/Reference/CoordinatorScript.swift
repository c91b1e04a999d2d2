// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting

/// A script of steps, read from bytes: any bytes are one. A coordinator and the reference follow it, and have to agree
/// after every step.
struct CoordinatorScript {
  /// Two things that should be the same.
  struct Difference: Error, CustomStringConvertible {
    var step: Int
    var action: String
    var what: String
    var description: String { "step \(step), \(action): \(what)" }
  }

  private typealias Work = CoordinatorReference.Work

  static let cpus = 4
  static let steps = 80

  private let machine: ScriptedMachine
  private let work: [WorkType]
  private let runs = RunLog()
  private var reference = CoordinatorReference(cpus: cpus, housekeeping: [0])
  private var tickets: [(CPUIsolation.Ticket, CoordinatorReference.Ticket)] = []
  private var periods: [(Coordinator.GracePeriod, CoordinatorReference.GracePeriod)] = []
  private var bytes: ArraySlice<UInt8>
  private var step = 0
  private var action = ""

  /// The step that the coordinator's CPU leaves out.
  private let omitted: Int?

  private init(_ bytes: [UInt8], omitting omitted: Int?) throws {
    self.bytes = bytes[...]
    self.omitted = omitted
    machine = try ScriptedMachine(housekeeping: [0], isolated: CPUMask(1..<Self.cpus)) {
      $0.watchdog = nil
      $0.traceEvents = 0
    }
    let coordinator = machine.coordinator
    var made: [WorkType] = []
    for work in Work.allCases {
      var options = WorkType.Options()
      switch work {
      case .early: options.order = .early
      case .late: options.order = .late
      case .union: options.delivery = .merging(.union)
      case .catchUp: options.delivery = .catchUp
      case .many: options.expectsManySenders = true
      case .plain, .helpful: break
      }
      options.mayRunOnBehalf = work.mayRunOnBehalf
      let plain = work == .late ? made[Work.plain.rawValue] : nil
      made.append(
        try coordinator.register("\(work)", options: options) {
          [runs, unowned coordinator] cpu, told in
          runs.append(.init(work: work, cpu: cpu, told: told.rawValue))
          if let plain { coordinator.send(plain, to: cpu) }
        })
    }
    work = made
  }

  /// Follows the script to its end. With `omitting` a CPU leaves out its own step of that number, and the difference
  /// has to be found.
  static func follow(_ bytes: [UInt8], omitting omitted: Int? = nil) throws {
    var script = try CoordinatorScript(bytes, omitting: omitted)
    while script.step < steps, !script.bytes.isEmpty {
      script.step += 1
      try script.makeStep()
      try script.compare()
    }
    try script.compareCounts()
    script.machine.coordinator.close(timeout: .zero)
  }

  // MARK: Steps

  private mutating func next() -> Int { Int(bytes.popFirst() ?? 0) }

  private mutating func makeStep() throws {
    let kind = next()
    switch kind % 16 {
    case 0...3: try send([.deferrable, .deferrable, .immediate, .onBehalf][kind % 16])
    case 4, 5: try sendToMask(kind >> 4, isTicketed: kind % 16 == 5)
    case 6: try sendToEven(kind >> 4)
    case 7: own(kind >> 4, "enterUser", { $0.enterUser($1) }, { $0.enterUser() })
    case 8: own(kind >> 4, "enterKernel", { $0.enterKernel($1) }, { $0.enterKernel() })
    case 9: own(kind >> 4, "poll", { $0.poll($1) }, { $0.poll() })
    case 10: own(kind >> 4, "safePoint", { $0.safePoint($1) }, { $0.safePoint() })
    case 11:
      own(kind >> 4, "declareQuiescent", { $0.declareQuiescent($1) }, { $0.declareQuiescent() })
    case 12: own(kind >> 4, "detach", { $0.detach($1) }, { $0.detach() })
    case 13: try attach(kind >> 4)
    case 14:
      action = "startGracePeriod"
      periods.append((machine.coordinator.startGracePeriod(), reference.startGracePeriod()))
    default: if kind == 0xff { try close() } else { try call(CPUMask(words: [UInt64(kind >> 4)])) }
    }
  }

  private mutating func send(_ urgency: WorkType.Urgency) throws {
    let number = next()
    let work = Work.allCases[number % Work.allCases.count]
    let cpu = number / 32 % Self.cpus
    let payload: UInt64 = 1 << UInt64(number % 13)
    action = "send \(work) to \(cpu), \(urgency)"
    let type = self.work[work.rawValue]
    let expected = reference.send(
      work, to: cpu, payload: work == .union ? payload : .max, urgency: urgency)
    let coordinator = machine.coordinator
    let outcome =
      work == .union
      ? coordinator.send(type, to: cpu, payload: .init(rawValue: payload), urgency: urgency)
      : coordinator.send(type, to: cpu, urgency: urgency)
    try expect(outcome, expected, "the outcome")
  }

  private mutating func sendToMask(_ members: Int, isTicketed: Bool) throws {
    let number = next()
    let work = Work.allCases[number % Work.allCases.count]
    let urgency: WorkType.Urgency = [.deferrable, .deferrable, .immediate, .onBehalf][number >> 6]
    let mask = CPUMask(words: [UInt64(members)])
    action = "send \(work) to \(mask), \(urgency)\(isTicketed ? ", ticketed" : "")"
    let type = self.work[work.rawValue]
    let expected = reference.send(work, to: mask, urgency: urgency, drawsGeneration: isTicketed)
    guard isTicketed else {
      return try expect(machine.coordinator.send(type, to: mask, urgency: urgency), expected, mask)
    }
    let ticket = machine.coordinator.sendWithTicket(type, to: mask, urgency: urgency)
    try expect(ticket.report, expected, mask)
    let addressed = (expected ?? [:]).filter { $0.value != .gone }.keys
    tickets.append(
      (
        ticket,
        .init(
          work: work, generation: reference.generations[work.rawValue], addressed: Set(addressed))
      ))
  }

  private mutating func sendToEven(_ members: Int) throws {
    let work = Work.allCases[next() % Work.allCases.count]
    let mask = CPUMask(words: [UInt64(members)])
    action = "send \(work) to the even of \(mask)"
    // A coordinator that is closed counts the targets that a predicate leaves out before the first that it does not.
    if reference.isClosed { return }
    let isEven: (Int) -> Bool = { $0.isMultiple(of: 2) }
    let expected = reference.send(work, to: mask, where: isEven)
    let report = machine.coordinator.send(self.work[work.rawValue], to: mask, where: isEven)
    try expect(report, expected, mask)
  }

  private mutating func own(
    _ number: Int, _ name: String, _ refer: (inout CoordinatorReference, Int) -> Bool,
    _ make: (ScriptedCPU) -> Void
  ) {
    let cpu = number % Self.cpus
    action = "\(name) on \(cpu)"
    if refer(&reference, cpu), step != omitted { make(machine[cpu]) }
  }

  private mutating func attach(_ number: Int) throws {
    let cpu = number % Self.cpus
    action = "attach \(cpu)"
    if reference.cpus[cpu].context != .offline { return }
    let isExpected = reference.attach(cpu)
    var isDone = true
    do { try machine[cpu].attach() } catch { isDone = false }
    try expect(isDone, isExpected, "whether it attaches")
  }

  private mutating func call(_ mask: CPUMask) throws {
    action = "call \(mask), in vain"
    let expected = reference.callInVain(on: mask)
    let report = machine.coordinator.call(on: mask, timeout: .zero) { _ in }
    guard let expected else {
      return try expect(report.refusal, mask.isEmpty ? report.refusal : .closed, "the refusal")
    }
    for (cpu, outcome) in expected {
      try expect(report[outcome].contains(cpu), true, "that the call to \(cpu) is \(outcome)")
    }
  }

  private mutating func close() throws {
    action = "close"
    let expected = reference.close()
    try expect(machine.coordinator.close(timeout: .zero), expected, "the answer")
  }

  // MARK: Comparing

  private func expect<Value: Equatable>(_ value: Value, _ expected: Value, _ what: String) throws {
    if value == expected { return }
    throw Difference(
      step: step, action: action, what: "\(what): \(value), and by the reference \(expected)")
  }

  private func expect(
    _ report: Report<SendOutcome>, _ expected: [Int: SendOutcome]?, _ mask: CPUMask
  ) throws {
    guard let expected else {
      let refusal: SendOutcome? = mask.isEmpty ? report.refusal : .rejected(.closed)
      return try expect(report.refusal, refusal, "the refusal")
    }
    try expect(report.refusal, nil, "the refusal")
    for (cpu, outcome) in expected {
      try expect(report[outcome].contains(cpu), true, "\(report): that \(cpu) is \(outcome)")
    }
  }

  /// What is compared after every step.
  private mutating func compare() throws {
    try expect(runs.entries, reference.runs, "the runs")
    for cpu in 0..<Self.cpus {
      try expect(machine[cpu].context, reference.cpus[cpu].context, "where CPU \(cpu) is")
      for (ticket, expected) in tickets.suffix(4) {
        try expect(
          ticket.state(of: cpu), reference.state(expected, of: cpu),
          "what the ticket of \(expected.work) says of CPU \(cpu)")
      }
    }
    for index in periods.indices.suffix(4) {
      let isOver = periods[index].0.poll()
      try expect(isOver, reference.poll(&periods[index].1), "whether grace period \(index) is over")
    }
  }

  private func compareCounts() throws {
    let statistics = machine.coordinator.statistics()
    for cpu in 0..<Self.cpus {
      for work in Work.allCases {
        let counts = statistics[self.work[work.rawValue], on: cpu]
        let expected = reference.cpus[cpu].counts[work.rawValue]
        let isAway = reference.cpus[cpu].context == .offline
        try expect(
          CoordinatorReference.Counts(
            sent: counts.sent, merged: counts.merged, skipped: counts.skipped,
            interrupted: counts.interrupted, executed: counts.executed, caughtUp: counts.caughtUp,
            gone: counts.gone), expected, "the counts of \(work) on CPU \(cpu)")
        let isPending = !isAway && reference.cpus[cpu].pending.contains(work)
        try expect(counts.pending, isPending ? 1 : 0, "whether \(work) is pending on CPU \(cpu)")
        let lag = work == .catchUp ? reference.lag(of: cpu) : 0
        try expect(counts.lag, lag, "how far CPU \(cpu) lags")
      }
    }
  }
}

/// The runs of the handlers, in their order.
// Sendable: a script makes one step at a time, and whoever makes it has waited for the step before.
private final class RunLog: @unchecked Sendable {
  private(set) var entries: [CoordinatorReference.Run] = []

  func append(_ run: CoordinatorReference.Run) { entries.append(run) }
}

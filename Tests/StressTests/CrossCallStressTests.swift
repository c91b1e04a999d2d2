// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Calls in all directions at once: from threads and CPUs, waiting and not, with deadlines that are met and missed.
  @Suite struct CrossCalls {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      var callers: Int
      var isolated: Int
      var housekeepers: Int
      var interrupter = Interrupter.poll
      var testDescription: String {
        "seed \(seed): \(callers) callers, \(isolated) isolated, \(housekeepers) housekeepers, "
          + "\(interrupter)"
      }
    }

    @Test(arguments: [
      Case(seed: 71, callers: 1, isolated: 1, housekeepers: 1),
      Case(seed: 72, callers: 2, isolated: 2, housekeepers: 1),
      Case(seed: 73, callers: 2, isolated: 2, housekeepers: 1, interrupter: .signal),
      Case(seed: 74, callers: 6, isolated: 5, housekeepers: 3),
    ])
    func storm(_ test: Case) throws { try CrossCallExperiment(test).run() }
  }
}

/// What one waiting call did, per CPU.
private final class CallWitness: Sendable {
  /// Written before the call, read by its function; written by the function, read after the call.
  let question = Atomic<UInt64>(0)
  let answers: WordTable
  let runs: WordTable

  init(cpus: Int) {
    answers = WordTable(cpus)
    runs = WordTable(cpus)
  }
}

private final class CrossCallExperiment: Sendable {
  private let test: StressTests.CrossCalls.Case
  private let coordinator: Coordinator
  private let violations = Violations()
  private let isComplete = SharedFlag()
  private let stop = SharedFlag()
  private let finished = SharedCounter()
  private let executed = SharedCounter()
  private let timedOut = SharedCounter()
  private let postsQueued = SharedCounter()
  private let postsRun = SharedCounter()
  private let cancelled = Guarded<[CallWitness]>([])

  init(_ test: StressTests.CrossCalls.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: CPUMask(test.isolated..<test.isolated + test.housekeepers),
      isolated: CPUMask(0..<test.isolated))
    configuration.isolatedInterrupter = test.interrupter
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    coordinator = try Coordinator(configuration)
  }

  func run() throws {
    let cpus = test.isolated + test.housekeepers
    let owners = try (0..<cpus).map { cpu in
      try coordinator.launch(on: cpu) { [self] local in
        var random = SeededGenerator(seed: test.seed, stream: cpu)
        let call = makePost()
        while !isComplete.isSet { local.idle(for: .microseconds(100)) }
        while !stop.isSet {
          if random.oneIn(4) { callSomebody(from: cpu, &random) }
          if random.oneIn(4) { post(call, &random) }
          if cpu < test.isolated {
            isolate(local, cpu, &random)
          } else {
            local.idle(for: .microseconds(random.below(200)))
          }
        }
        finish(local, call)
      }
    }
    isComplete.set()
    let until = Until(StressDuration.ofCase(0.7))
    TestThread.run(test.callers) { [self] index in
      var random = SeededGenerator(seed: test.seed, stream: 100 + index)
      let call = makePost()
      while !until.isOver {
        callSomebody(from: nil, &random)
        post(call, &random)
      }
      violations.check(eventually { !call.isInFlight }, "a posted call never came back")
    }
    stop.set()
    for owner in owners { owner.join() }
    for witness in cancelled.withLock({ $0 }) {
      violations.check(witness.runs.sum == 0, "a call ran after it had been reported as timed out")
    }
    violations.check(
      postsQueued.value == postsRun.value,
      "\(postsQueued.value) calls were posted, \(postsRun.value) ran")
    violations.check(executed.value > 0, "no call was executed")
    violations.expectNone(
      "\(test.testDescription): \(executed.value) executed, \(timedOut.value) timed out")
  }

  /// Stays until the calls that are under way have ended: a CPU that left would make them `gone`.
  private func finish(_ local: borrowing LocalCPU, _ call: borrowing CrossCall) {
    finished.add()
    let until = Until(StressDuration.generous)
    while finished.value < test.isolated + test.housekeepers || call.isInFlight {
      local.safePoint()
      sched_yield()
      if until.isOver { return violations.note("a posted call never came back to its CPU") }
    }
  }

  private func isolate(
    _ local: borrowing LocalCPU, _ cpu: Int, _ random: inout SeededGenerator
  ) {
    local.inUser {
      for _ in 0..<random.below(20) {
        local.poll()
        if random.oneIn(8) { sched_yield() }
      }
      // A waiting call in user: it serves its own CPU while it waits.
      if random.oneIn(8) { callSomebody(from: cpu, &random) }
    }
  }

  private func makePost() -> CrossCall {
    unsafe CrossCall(
      context: Unmanaged.passUnretained(postsRun).toOpaque(), isInterruptSafe: true
    ) { runs, _ in
      _ = unsafe Unmanaged<SharedCounter>.fromOpaque(runs.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.add() }
    }
  }

  private func post(_ call: borrowing CrossCall, _ random: inout SeededGenerator) {
    switch coordinator.post(call, on: random.below(test.isolated + test.housekeepers)) {
    case .queued: postsQueued.add()
    case .busy: break
    case let other: violations.note("a post to an attached CPU was \(other)")
    }
  }

  private func callSomebody(from own: Int?, _ random: inout SeededGenerator) {
    let cpus = test.isolated + test.housekeepers
    let mask = CPUMask((0..<cpus).filter { _ in random.oneIn(2) })
    let skipped = random.oneIn(3) ? random.below(cpus) : -1
    let isShort = random.oneIn(3)
    let timeout = isShort ? Duration.microseconds(random.below(50)) : StressDuration.generous
    let witness = CallWitness(cpus: cpus)
    let question = random.next()
    witness.question.store(question, ordering: .relaxed)
    let isSafe = random.oneIn(2)
    let violations = violations
    let report = coordinator.call(
      on: mask, timeout: timeout, isInterruptSafe: isSafe, where: { $0 != skipped }
    ) { cpu in
      if witness.question.load(ordering: .relaxed) != question {
        witness.answers.store(cpu, 1)
      }
      witness.answers.add(cpu, 2)
      witness.runs.add(cpu)
    }
    let ran = report[.executed].union(report[.ranInline])
    executed.add(ran.count)
    timedOut.add(report[.timedOut].count)
    let all = ran.union(report[.timedOut]).union(report[.skipped])
    violations.check(
      all == mask && report[.busy].isEmpty && report[.gone].isEmpty && report[.queued].isEmpty,
      "a call to \(mask) was reported as \(report)")
    violations.check(
      report[.ranInline] == mask.intersection(own.map { [$0] } ?? []).subtracting(report[.skipped]),
      "a call from \(own.map(String.init) ?? "no CPU") to \(mask) was reported as \(report)")
    violations.check(isShort || report[.timedOut].isEmpty, "a call to \(mask) timed out: \(report)")
    for cpu in 0..<cpus {
      let runs = witness.runs.load(cpu)
      violations.check(
        runs == (ran.contains(cpu) ? 1 : 0), "CPU \(cpu) ran a call \(runs) times: \(report)")
      violations.check(
        witness.answers.load(cpu) == 2 * runs, "CPU \(cpu) did not see what the caller wrote")
    }
    if report[.executed].isEmpty, report[.ranInline].isEmpty, !report[.timedOut].isEmpty {
      cancelled.withLock { if $0.count < 10_000 { $0.append(witness) } }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc
internal import Synchronization

/// Calls of CPUs: waited for, posted, and with messages out of a pool.
final class CallRig: Sendable {
  private let coordinator: Coordinator
  private let torture: Torture
  private let writers: Int
  private let scratches: [CallScratch]
  private let numbers = WordTable(1)
  private let pool: Mutex<CrossCallPool<CallMessage>?>
  /// The number of the last message of a writer that ran on a CPU.
  private let last: WordTable
  private let messages: WordTable
  private let made = WordTable(1)
  private let ended = WordTable(1)

  init(_ coordinator: Coordinator, writers: Int, _ torture: Torture) throws(IsolationError) {
    self.coordinator = coordinator
    self.torture = torture
    self.writers = writers
    scratches = (0..<writers).map { _ in CallScratch() }
    let last = WordTable(writers * World.cpus)
    self.last = last
    messages = WordTable(writers * World.cpus)
    pool = Mutex(
      try CrossCallPool(coordinator, capacity: 24) { message, cpu in
        let place = message.writer * World.cpus + cpu
        torture.faults.reachInHandler(.inCall)
        if coordinator.currentCPU != cpu {
          torture.violations.tally(.ranOnForeignThread, type: -1, cpu: cpu)
        }
        let before = last.exchange(place, message.number)
        torture.violations.check(
          before < message.number,
          "message \(message.number) ran on CPU \(cpu) after message \(before)")
        torture.counts.add(.run, row: 38)
        if torture.options.bug == .lostMessage, message.number & 127 == 0 {
          _ = unsafe Unmanaged.passRetained(message)
        }
      })
  }

  // MARK: Waiting

  /// Calls the CPUs of a mask, and looks at what they answered.
  func call(by writer: Int, _ turn: inout Turn) {
    let scratch = scratches[writer]
    let number = numbers.add(0)
    let mask = CPUMask((0..<World.cpus).filter { _ in turn.random.oneIn(2) })
    let left = turn.random.below(World.cpus * 2)
    let isSafe = turn.random.oneIn(2)
    let isHurried = turn.random.oneIn(8)
    scratch.ask(number)
    scratch.underWay.storeReleasing(0, number)
    turn.reach(.beforeWait)
    let report: Report<CallOutcome>
    if turn.bug == .lateCall {
      report = unsafe coordinator.post(
        on: mask, context: Unmanaged.passUnretained(scratch).toOpaque()
      ) { scratch, cpu in
        unsafe Unmanaged<CallScratch>.fromOpaque(scratch.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { $0.answer(cpu) }
      }
    } else {
      report = coordinator.call(
        on: mask, timeout: isHurried ? .microseconds(turn.random.below(300)) : Torture.generous,
        isInterruptSafe: isSafe, where: { $0 != left }
      ) { cpu in
        self.answer(number, cpu, scratch)
      }
    }
    scratch.underWay.storeReleasing(0, 0)
    turn.count(.call)
    check(report, mask, left, number, scratch, &turn, mayTimeOut: isHurried)
  }

  private func answer(_ number: UInt64, _ cpu: Int, _ scratch: CallScratch) {
    if coordinator.currentCPU != cpu {
      torture.violations.tally(.ranOnForeignThread, type: -2, cpu: cpu)
    }
    torture.faults.reachInHandler(.inCall)
    if scratch.underWay.loadAcquiring(0) != number {
      torture.violations.tally(.ranAfterEnd, type: -2, cpu: cpu)
    }
    scratch.answer(cpu)
    torture.counts.add(.run, row: 37)
  }

  private func check(
    _ report: Report<CallOutcome>, _ mask: CPUMask, _ left: Int, _ number: UInt64,
    _ scratch: CallScratch, _ turn: inout Turn, mayTimeOut: Bool
  ) {
    let ran = report[.executed].union(report[.ranInline]).union(report[.queued])
    let all = ran.union(report[.skipped]).union(report[.gone]).union(report[.timedOut])
    turn.check(all == mask, "a call of CPUs \(mask) was reported as \(report)")
    turn.check(
      mayTimeOut || report[.timedOut].isEmpty, "a call of CPUs \(mask) timed out: \(report)")
    turn.check(
      report[.skipped] == mask.intersection([left]) || turn.bug == .lateCall,
      "a call of CPUs \(mask) without \(left) was reported as \(report)")
    for cpu in mask {
      let expected = ran.contains(cpu) ? CallScratch.answer(to: number) : 0
      let answer = scratch.answer(of: cpu)
      turn.check(
        answer == expected,
        "CPU \(cpu) was asked \(number) and answered \(answer) by a call that says \(report)")
    }
  }

  // MARK: Posting

  /// Posts this thread's record.
  func post<S: WorkSender & ~Copyable>(
    with sender: borrowing S, by writer: Int, _ turn: inout Turn
  ) {
    let scratch = scratches[writer]
    switch sender.post(scratch.post, on: turn.random.below(World.cpus)) {
    case .queued: scratch.posts.add(0)
    // A thread that has gone may have run it.
    case .gone: scratch.posts.add(0)
    case .busy: break
    case .ranInline, .executed: scratch.posts.add(0)
    case let other: turn.check(false, "a posted call was \(other)")
    }
    turn.check(
      scratch.runs.load(0) <= scratch.posts.load(0) + 1, "a posted call ran more than once")
    turn.count(.post)
  }

  /// Posts a message out of the pool.
  func postMessage(by writer: Int, _ turn: inout Turn) {
    let cpu = turn.random.below(World.cpus)
    let number = messages.add(writer * World.cpus + cpu)
    guard let pool = pool.withLock({ $0 }) else { return }
    made.add(0)
    let outcome = pool.post(CallMessage(writer, number, ended), on: cpu)
    turn.check(
      [.queued, .busy, .gone, .ranInline, .executed].contains(outcome), "a message was \(outcome)")
    turn.count(.pooledCall)
  }

  // MARK: The end

  /// Whether records are back and messages have ended, once no CPU is left.
  func finish(_ world: String) {
    let until = ContinuousClock.now + Torture.generous
    var isBack = false
    while !isBack, ContinuousClock.now < until {
      // Who comes next takes what is left, or takes it back.
      for cpu in 0..<World.cpus {
        if let local = try? coordinator.attach(to: cpu) { local.detach() }
      }
      isBack = scratches.allSatisfy { !$0.post.isInFlight }
    }
    if !isBack {
      torture.violations.note("a record of \(world) is in flight for ever")
      for scratch in scratches { _ = unsafe Unmanaged.passRetained(scratch) }
    }
    pool.withLock { $0 = nil }
    torture.violations.check(
      made.load(0) == ended.load(0),
      "\(made.load(0)) messages were posted in \(world), \(ended.load(0)) have ended")
  }
}

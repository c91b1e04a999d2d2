// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// Checks that a handler keeps to its contract, by playing many schedules on it.
///
///     let report = try HandlerConformance.check("refresh", .nonAllocating) { coordinator in
///       let cache = try RouteCache(coordinator)
///       return HandlerSubject(
///         cache.refresh,
///         publish: { step in cache.table.insert(Route(step)) },
///         state: { cpu in cache.routes(on: cpu) })
///     }
///     #expect(report.isConforming, "\(report)")
///
/// Each schedule runs on a fresh coordinator with housekeeping CPU 0 and isolated CPUs 1 and 2,
/// through the library itself. What cannot be seen:
///
/// - A handler that traps ends the process: run the check in an exit test.
/// - A lock that nobody contends costs no system call and is not seen, unless the subject says how
///   to hold it (`whilePublishing`).
/// - Waits are voluntary context switches that no page fault explains: a system call that returns
///   at once (a write to a file that is cached) does not wait. Spinning is processor time.
/// - Allocations are calls of the C library's functions. Memory mapped by hand, functions that were
///   bound to other names, and calls that are bound inside an
///   executable that has such functions of its own are not seen.
/// - A handler that is left running, because it did not return, keeps its thread at idle priority
///   until the process ends.
/// - Runs in a signal handler are not made.
///
/// - Progress: blocking
/// - Context: a thread that is no CPU
/// - Allocates: yes
public enum HandlerConformance {
  /// What a handler claims, and how patient a check is.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Options: Sendable {
    /// Whether the handler claims to allocate nothing once it is warm: what a handler that may run
    /// in a signal handler has to.
    public var claimsNoAllocation = false
    /// How long a run may be on a processor.
    public var processorTime = Duration.milliseconds(100)
    /// After how long, in real time, a run counts as one that never returns.
    public var deadline = Duration.seconds(10)
    /// How many runs are measured, and how many changes one run has to catch up with.
    public var rounds = 16
    /// After how many safe points work that sends itself again counts as never ending.
    public var settlingDrains = 64

    /// The defaults.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init() {}

    /// The defaults, for a handler that may allocate.
    public static var standard: Options { Options() }

    /// The defaults, for a handler that claims to allocate nothing.
    public static var nonAllocating: Options {
      var options = Options()
      options.claimsNoAllocation = true
      return options
    }
  }

  /// Checks the handler of one work type.
  ///
  /// - Parameters:
  ///   - name: What the report calls it.
  ///   - options: What it claims.
  ///   - makeSubject: Registers the type, and whatever it maintains, anew on the coordinator that
  ///     it is given. It is called once for each schedule, about thirty times.
  /// - Returns: A verdict for each rule, and for a failed one what was seen.
  /// - Throws: what `makeSubject` throws; `IsolationError`.
  /// - Progress: blocking
  /// - Context: a thread that is no CPU
  /// - Allocates: yes
  public static func check<State: Equatable & Sendable>(
    _ name: String, _ options: Options = .standard,
    _ makeSubject: (Coordinator) throws -> HandlerSubject<State>
  ) throws -> ConformanceReport {
    if options.rounds < 1 || options.settlingDrains < 1 {
      fatalError("a check of \(name) needs at least one round and one drain to settle in")
    }
    return try withoutActuallyEscaping(makeSubject) { makeSubject in
      var check = ConformanceCheck(name, options, makeSubject)
      return try check.run()
    }
  }
}

/// A check under way.
struct ConformanceCheck<State: Equatable & Sendable> {
  let options: HandlerConformance.Options
  private(set) var report: ConformanceReport
  private let makeSubject: (Coordinator) throws -> HandlerSubject<State>

  init(
    _ name: String, _ options: HandlerConformance.Options,
    _ makeSubject: @escaping (Coordinator) throws -> HandlerSubject<State>
  ) {
    self.options = options
    self.makeSubject = makeSubject
    report = ConformanceReport(name)
  }

  func trial(before: (Coordinator) throws -> Void = { _ in }) throws -> ConformanceTrial<State> {
    try ConformanceTrial(options, makeSubject, before: before)
  }

  mutating func note(
    _ rule: ConformanceRule, _ verdict: ConformanceReport.Verdict, _ detail: String
  ) {
    report.note(rule, verdict, detail)
  }

  /// A value as a sentence shows it.
  func show(_ state: State) -> String {
    let text = String(describing: state)
    return text.count > 160 ? text.prefix(160) + "…" : text
  }

  /// All rules, in their order. The rules about the state rest on each other: where one is broken,
  /// those after it would only repeat it.
  mutating func run() throws -> ConformanceReport {
    do {
      let reference = try checkStates()
      try checkCosts()
      try checkSends(reference)
    } catch let hang as Hang {
      noteHang(hang)
    }
    for rule in ConformanceRule.allCases where !report.findings.contains(where: { $0.rule == rule })
    {
      note(rule, .notChecked, "a run did not return")
    }
    return report
  }

  private mutating func noteHang(_ hang: Hang) {
    let seconds = options.deadline
    switch hang.reason {
    case .waits:
      note(
        .nonBlocking, .failed,
        "a run \(hang.step) had not returned after \(seconds), and its thread sleeps. A handler"
          + " must not wait: leave a bit or a value where whoever is awaited can find it")
      note(.bounded, .notChecked, "the run did not return because it waits")
    case .isStarved:
      note(
        .bounded, .notChecked,
        "a run \(hang.step) had not returned after \(seconds), for want of a processor")
    case .isBusy:
      note(
        .bounded, .failed,
        "a run \(hang.step) had not returned after \(seconds), and its thread is busy. Bound the"
          + " loop, and send the work again for what is left")
    }
  }

  /// The rules about the state, each where what it rests on holds; gives the state that one change
  /// leads to, where that can be relied on.
  private mutating func checkStates() throws -> State? {
    guard let reference = try checkCatchingUp() else {
      let reason = "the state does not show what the handler does"
      for rule in [.idempotent, .harmlessUnsent, .coalescing, .drainOrder] as [ConformanceRule] {
        note(rule, .notChecked, reason)
      }
      return nil
    }
    guard try checkIdempotence() else {
      let reason = "another number of runs makes another state: the handler is not idempotent"
      for rule in [.harmlessUnsent, .coalescing, .drainOrder] as [ConformanceRule] {
        note(rule, .notChecked, reason)
      }
      return nil
    }
    try checkUnsentRun(reference)
    try checkCoalescing()
    try checkOrders(reference)
    return reference
  }
}

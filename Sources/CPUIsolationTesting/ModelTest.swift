// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPUIsolation
  internal import ModelEngine

  /// Explores a protocol under every schedule, and every visibility of its stores, up to a bound.
  ///
  ///     let outcome = ModelTest.explore(.weak, preemptions: 3) { run in
  ///       let datum = ModelAtomic<UInt64>(0)
  ///       let flag = ModelAtomic<UInt64>(0)
  ///       run.body {
  ///         datum.store(7, ordering: .relaxed)
  ///         flag.store(1, ordering: .releasing)
  ///       }
  ///       run.body {
  ///         if flag.load(ordering: .acquiring) == 1 {
  ///           run.expect(datum.load(ordering: .relaxed) == 7, "the flag came first")
  ///         }
  ///       }
  ///     }
  ///     #expect(outcome.holds, "\(outcome)")
  ///
  /// The words are `ModelAtomic`s; bodies run on fibers of the calling thread, one at a time, and
  /// switch only at accesses to such words: whatever else they share counts as seen at once.
  ///
  /// - Progress: blocking
  /// - Context: any thread; explorations that are begun at once take turns
  /// - Allocates: yes
  public enum ModelTest {
    /// How memory behaves.
    public enum Memory: Hashable, Sendable {
      /// Each access takes effect at once.
      case sequentiallyConsistent
      /// As on x86-64: stores wait in a buffer, first in first out, until a read-modify-write or a
      /// fence.
      case totalStoreOrder
      /// As on arm64: a load may return any value that orderings and fences do not forbid.
      case weak

      var simulated: ModelEngine.Memory {
        switch self {
        case .sequentiallyConsistent: .sequentiallyConsistent
        case .totalStoreOrder: .totalStoreOrder
        case .weak: .weak
        }
      }
    }

    /// Explorations use one word of the process: they take turns.
    private static let turn = Lock(())

    /// Explores. `prepare` is called anew for each execution, outside the model: it makes the
    /// shared state, adds the bodies, and says what has to hold.
    ///
    /// - Parameters:
    ///   - memory: How memory behaves.
    ///   - preemptions: How often a body may be left where it could go on.
    ///   - executions: After how many executions the search is given up.
    ///   - schedule: The decisions of one execution, from `ModelOutcome.schedule`: it alone is run.
    ///   - prepare: Called anew for each execution; what it throws is a failure.
    /// - Returns: How many executions there were, and for a failure its sentence and its schedule.
    /// - Progress: blocking
    /// - Context: any thread
    /// - Allocates: yes
    public static func explore(
      _ memory: Memory, preemptions: Int, executions: Int = 5_000_000,
      replaying schedule: String? = nil, _ prepare: (ModelRun) throws -> Void
    ) -> ModelOutcome {
      var bounds = ModelEngine.Bounds(preemptions: preemptions)
      bounds.executions = executions
      return turn.withLock { _ in
        var current: ModelRun? = nil
        let outcome = ModelEngine.explore(
          memory.simulated, bounds, replaying: schedule,
          prepare: { engine in
            let run = ModelRun(engine)
            current = run
            do {
              try prepare(run)
            } catch {
              engine.fail("the preparation threw \(error)")
            }
            return run.takeBodies()
          }, check: { _ in current?.runChecks() })
        if outcome.failure != nil { current?.abandon() }
        return ModelOutcome(outcome, isReplay: schedule != nil)
      }
    }
  }

  /// What an exploration found.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: as its strings
  public struct ModelOutcome: Sendable, CustomStringConvertible {
    /// What did not hold; nil if nothing was found.
    public let failure: String?
    /// The decisions that led to the failure, to be replayed.
    public let schedule: String?
    /// The execution that failed, or was replayed, an access a line: which body, what it did to
    /// which word, and where in the source.
    public let trace: [String]
    /// How many executions were made.
    public let executions: Int
    /// How many accesses they made in all.
    public let steps: Int
    /// Whether there is no other execution within the bounds.
    public let isExhausted: Bool
    private let isReplay: Bool

    init(_ outcome: ModelEngine.Outcome, isReplay: Bool) {
      failure = outcome.failure
      schedule = outcome.schedule
      trace = outcome.trace
      executions = outcome.executions
      steps = outcome.steps
      isExhausted = outcome.isExhausted && !isReplay
      self.isReplay = isReplay
    }

    /// Whether every execution within the bounds was made, and in each everything held.
    public var holds: Bool { failure == nil && isExhausted }

    /// How much of a trace a description shows: its end.
    private static let shownSteps = 40

    public var description: String {
      let count = "\(executions) executions, \(steps) steps"
      if let failure {
        let lines = trace.suffix(Self.shownSteps).map { "\n  \($0)" }.joined()
        return "\(failure) (\(count)); replaying: \"\(schedule ?? "")\"\(lines)"
      }
      if isReplay { return "the replayed execution holds (\(steps) steps)" }
      return isExhausted ? "holds: \(count), exhausted" : "not exhausted after \(count)"
    }
  }
#endif

// SPDX-License-Identifier: Apache-2.0

internal import CFiber

/// Runs a few small bodies under every schedule and every visibility of their stores that its
/// bounds allow.
///
/// The bodies run on fibers of one thread. Each access to a `ModelAtomic` is a point at which
/// another body may go on, and a place where the memory model decides what is seen.
///
/// What it cannot see: more preemptions than the bound; in `.weak`, stores to one word in another
/// order than that of their execution, loads that read from the future (load buffering), and values
/// older than `staleness` stores; in `.totalStoreOrder`, two threads' buffered stores to one word
/// in both orders.
@safe
public final class ModelEngine {
  /// How memory behaves.
  public enum Memory: Sendable {
    /// Each access takes effect at once.
    case sequentiallyConsistent
    /// Stores wait in a buffer per thread, first in first out; read-modify-writes and fences empty
    /// it. x86-64.
    case totalStoreOrder
    /// A load may return any value that release, acquire and sequentially consistent accesses and
    /// fences do not forbid. As on arm64, a sequentially consistent load after a sequentially
    /// consistent read-modify-write holds back everything after it.
    case weak
  }

  /// What limits an exploration.
  public struct Bounds: Sendable {
    public var preemptions: Int
    public var steps = 5_000
    public var staleness = 3
    public var executions = 20_000_000

    public init(preemptions: Int) { self.preemptions = preemptions }
  }

  /// What an exploration found.
  public struct Outcome: Sendable {
    public var failure: String? = nil
    /// The decisions that led to the failure, for `replaying`.
    public var schedule: String? = nil
    /// The failing execution, an access a line: the body, what it did, and where that stands.
    public var trace: [String] = []
    public var executions = 0
    public var steps = 0
    public var isExhausted = false
  }

  /// The engine whose bodies run now; nil outside explorations.
  public private(set) static var current: ModelEngine? {
    get { unsafe running }
    set { unsafe running = newValue }
  }
  // Explorations run on one thread at a time: the tests are serialized.
  nonisolated(unsafe) private static var running: ModelEngine? = nil

  let memory: Memory
  let bounds: Bounds
  var choices: Choices
  var fibers: [Fiber] = []
  var running = -1
  private let main = Fiber(number: -1)
  private var ready: [Int] = []
  private var preemptions = 0
  /// The most of them that an execution may have for now.
  private var allowance: Int
  private(set) var steps = 0
  private(set) var totalSteps = 0
  var failure: String? = nil
  /// Counts the writes that have become visible: whoever waits in a loop waits for one.
  var progress = 0
  var views = ViewMemory()
  /// Addresses that one body alone uses: no schedule depends on them.
  public var privateRanges: [Range<UInt>] = []
  public var mutations: [Site: Mutation] = [:]
  /// The sites that were executed, for whoever wants to mutate them.
  public private(set) var sites: Set<Site> = []
  public var recordsSites = false
  /// What words are called in traces; others are numbered as they are met.
  public var names: [UInt: String] = [:]
  var trace: Trace? = nil

  private init(_ memory: Memory, _ bounds: Bounds, _ choices: Choices) {
    self.memory = memory
    self.bounds = bounds
    self.choices = choices
    allowance = bounds.preemptions
  }

  /// Explores. `prepare` runs before each execution, outside the model, and returns the bodies; the
  /// bodies, and `check` at the end, call `fail` on what must not be.
  public static func explore(
    _ memory: Memory, _ bounds: Bounds, search: Search = .exhaustive,
    replaying schedule: String? = nil, mutations: [Site: Mutation] = [:],
    prepare: (ModelEngine) -> [() -> Void], check: (ModelEngine) -> Void = { _ in }
  ) -> Outcome {
    let choices: Choices
    if let schedule {
      guard let replay = Choices(replaying: schedule) else {
        return Outcome(failure: "not a schedule: \(schedule)")
      }
      choices = replay
    } else {
      choices = Choices(search.strategy)
    }
    let engine = ModelEngine(memory, bounds, choices)
    engine.mutations = mutations
    if schedule != nil {
      engine.trace = Trace()
    } else if case .deepening = search {
      engine.allowance = 0
    }
    let limit = min(bounds.executions, search.executions)
    var outcome = Outcome()
    repeat {
      engine.reset()
      let bodies = prepare(engine)
      engine.execute(bodies)
      if engine.failure == nil { check(engine) }
      outcome.executions += 1
      if let failure = engine.failure {
        outcome.failure = failure
        outcome.schedule = engine.choices.schedule
        break
      }
      if outcome.executions >= limit { break }
      outcome.isExhausted = !engine.choices.advance(after: engine.steps) && !engine.deepen()
    } while !outcome.isExhausted
    outcome.steps = engine.totalSteps
    if let trace = engine.trace {
      outcome.trace = trace.lines
      outcome.isExhausted = false
    } else if let schedule = outcome.schedule {
      outcome.trace =
        explore(
          memory, bounds, replaying: schedule, mutations: mutations, prepare: prepare, check: check
        ).trace
    }
    return outcome
  }

  /// Begins again with one preemption more, if that makes a difference.
  private func deepen() -> Bool {
    guard allowance < bounds.preemptions, choices.restart() else { return false }
    allowance += 1
    return true
  }

  /// Says that this execution must not have been; does not return to the body that says it.
  public func fail(_ sentence: String) {
    if failure == nil {
      failure = sentence
      trace?.add(running, "fails: \(sentence)", nil)
    }
    if running >= 0 { leave() }
  }

  /// A decision of the test itself.
  public func choose(_ count: Int) -> Int { choices.choose(count) }

  // MARK: Executions

  private func reset() {
    preemptions = 0
    steps = 0
    failure = nil
    progress = 0
    views.reset()
    names.removeAll(keepingCapacity: true)
    if trace != nil { trace = Trace() }
  }

  private func execute(_ bodies: [() -> Void]) {
    while fibers.count < bodies.count { fibers.append(Fiber(number: fibers.count)) }
    for (fiber, body) in zip(fibers, bodies) { fiber.prepare(body) }
    for fiber in fibers[bodies.count...] { fiber.state = .done }
    if memory == .weak { views.begin(threads: bodies.count) }
    ModelEngine.current = self
    let first = choices.chooseBody(0..<bodies.count, step: 0)
    running = first
    unsafe cfiber_switch(main.position, fibers[first].position.pointee)
    running = -1
    ModelEngine.current = nil
    totalSteps += steps
  }

  /// Back to `explore`, for good.
  private func leave() -> Never {
    let fiber = fibers[running]
    unsafe cfiber_switch(fiber.position, main.position.pointee)
    fatalError("a body went on after its execution had ended")
  }

  // MARK: Scheduling

  /// Before each access: another body may go on here, as long as preemptions are left.
  func schedulingPoint() {
    steps += 1
    if steps > bounds.steps { fail("a body did not end within \(bounds.steps) steps") }
    deliverInterrupt()
    guard preemptions < bounds.preemptions || !choices.boundsPreemptions else { return }
    if preemptions >= allowance, choices.boundsPreemptions {
      let others = fibers.count { $0.number != running && $0.state == .ready }
      return choices.hold(1 + others)
    }
    let next = chooseNext(after: running)
    if next == running { return }
    preemptions += 1
    switchTo(next)
    deliverInterrupt()
  }

  /// One of the bodies that can go on; `current`, if it is one of them, is the first alternative.
  private func chooseNext(after current: Int?) -> Int {
    ready.removeAll(keepingCapacity: true)
    if let current { ready.append(current) }
    for fiber in fibers where fiber.number != running && fiber.state == .ready {
      ready.append(fiber.number)
    }
    return ready[choices.chooseBody(ready, step: steps)]
  }

  /// A waiting loop goes round: nothing changes until somebody else writes.
  func yieldUntilProgress() {
    steps += 1
    if steps > bounds.steps { fail("a body did not end within \(bounds.steps) steps") }
    if deliverInterrupt(isBlocking: true) { return }
    let fiber = fibers[running]
    if fiber.seenProgress != progress {
      fiber.seenProgress = progress
      switchAway(as: .ready)
    } else {
      switchAway(as: .waiting)
    }
    fiber.seenProgress = progress
    if memory == .weak { views.catchUp(fiber.number) }
    deliverInterrupt(isBlocking: true)
  }

  /// Something became visible: loops that wait look again.
  func noteProgress() {
    progress += 1
    for fiber in fibers where fiber.state == .waiting { fiber.state = .ready }
  }

  func switchAway(as state: Fiber.State) {
    let fiber = fibers[running]
    fiber.state = state
    while true {
      let ready = fibers.count { $0.number != running && $0.state == .ready }
      if ready > 0 { break }
      if state == .ready { return }
      // Nobody can go on: what is buffered becomes visible now; time passes for whoever sleeps with
      // a deadline.
      if flushEverything() {
        if fiber.state == .ready { return }
        continue
      }
      if fibers.allSatisfy({ $0.state == .done }) { leave() }
      if let sleeper = fibers.first(where: { $0.state == .sleeping && $0.hasDeadline }) {
        sleeper.state = .ready
        sleeper.hasTimedOut = true
        trace?.add(sleeper.number, "its deadline comes", nil)
        if sleeper === fiber { return }
        continue
      }
      let stuck = fibers.filter { $0.state != .done }.map { "\($0.number)" }
      fail("nobody can go on: bodies \(stuck.joined(separator: ", ")) wait for ever")
    }
    switchTo(chooseNext(after: nil))
  }

  private func switchTo(_ next: Int) {
    let fiber = fibers[running]
    running = next
    unsafe cfiber_switch(fiber.position, fibers[next].position.pointee)
  }

  /// The end of a body, wherever it is, as by `pthread_exit`. What it has stored stays in its buffer until
  /// somebody looks for it.
  public func bodyEnded() -> Never {
    noteProgress()
    switchAway(as: .done)
    fatalError("a body went on after its end")
  }

  func noteSite(_ site: Site) { if recordsSites { sites.insert(site) } }
}

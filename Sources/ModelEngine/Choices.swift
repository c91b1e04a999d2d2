// SPDX-License-Identifier: Apache-2.0

/// The decisions of one execution, and how the next one differs from it.
///
/// Everything that an execution leaves open (who goes on, which buffered store becomes visible,
/// which of several values a load returns) is a call of `choose` or `chooseBody`, or of `hold` where
/// the alternatives are for a later level of a deepening search. Depth first, the next execution
/// repeats all decisions but the last that had an alternative left.
struct Choices {
  private struct Choice {
    var taken: Int
    var count: Int
    /// Whether the alternatives are for a later level.
    var isHeld = false
  }
  private var path: [Choice] = []
  private var depth = 0
  private var holds = false
  private let strategy: Strategy
  private var random: UInt64
  private var priorities = BodyPriorities()

  enum Strategy {
    case depthFirst
    case random(seed: UInt64)
    case priorities(seed: UInt64, changes: Int)
    case replay(isUnbounded: Bool)
  }

  init(_ strategy: Strategy) {
    self.strategy = strategy
    switch strategy {
    case .random(let seed), .priorities(let seed, _): random = seed &* 2 | 1
    default: random = 1
    }
  }

  /// The decisions that a printed schedule stands for.
  init?(replaying schedule: String) {
    let isUnbounded = schedule.first == Self.unboundedMark
    strategy = .replay(isUnbounded: isUnbounded)
    random = 1
    let parts = isUnbounded ? schedule.dropFirst() : schedule[...]
    for part in parts.split(separator: ".", omittingEmptySubsequences: false) {
      let numbers = part.split(separator: "/")
      guard numbers.count == 2, let taken = Int(numbers[0]), let count = Int(numbers[1]),
        taken < count
      else { return nil }
      path.append(Choice(taken: taken, count: count))
    }
  }

  /// What a schedule begins with that was found without a bound on preemptions.
  private static let unboundedMark: Character = "~"

  /// Whether preemptions are counted: a sample of schedules takes them where they fall.
  var boundsPreemptions: Bool {
    switch strategy {
    case .depthFirst: true
    case .random, .priorities: false
    case .replay(let isUnbounded): !isUnbounded
    }
  }

  /// One of `count` alternatives, 0 the least surprising.
  mutating func choose(_ count: Int) -> Int {
    if count <= 1 { return 0 }
    if let known = repeated(count) { return known }
    switch strategy {
    case .random, .priorities: return note(draw(count), of: count)
    default: return note(0, of: count)
    }
  }

  /// The first of `count` alternatives, the others being held back for now.
  mutating func hold(_ count: Int) {
    if count <= 1 || repeated(count) != nil { return }
    path.append(Choice(taken: 0, count: count, isHeld: true))
    depth += 1
    holds = true
  }

  /// Begins the next level; false if nothing was held back, so that it would be this one again.
  mutating func restart() -> Bool {
    depth = 0
    path.removeAll(keepingCapacity: true)
    defer { holds = false }
    return holds
  }

  /// Which of these bodies goes on, as an index.
  mutating func chooseBody(_ bodies: some Collection<Int>, step: Int) -> Int {
    if bodies.count <= 1 { return 0 }
    guard case .priorities = strategy else { return choose(bodies.count) }
    while priorities.needsMore(for: bodies) { priorities.add(draw(1 << 20)) }
    priorities.pass(step: step, running: bodies.first!)
    return note(priorities.highest(of: bodies), of: bodies.count)
  }

  private mutating func repeated(_ count: Int) -> Int? {
    guard depth < path.count else { return nil }
    defer { depth += 1 }
    // A schedule from other code may have other alternatives here: stay within them.
    return min(path[depth].taken, count - 1)
  }

  private mutating func note(_ taken: Int, of count: Int) -> Int {
    path.append(Choice(taken: taken, count: count))
    depth += 1
    return taken
  }

  private mutating func draw(_ count: Int) -> Int {
    // xorshift64*: Marsaglia 2003, Vigna 2016.
    random ^= random >> 12
    random ^= random << 25
    random ^= random >> 27
    return Int((random &* 0x2545_F491_4F6C_DD1D) >> 33) % count
  }

  /// Goes on to the next execution; false when there is none. The last one took so many steps.
  mutating func advance(after steps: Int) -> Bool {
    depth = 0
    switch strategy {
    case .replay: return false
    case .random:
      path.removeAll(keepingCapacity: true)
      return true
    case .priorities(_, let changes):
      path.removeAll(keepingCapacity: true)
      priorities.forget()
      for _ in 0..<changes { priorities.change(at: draw(max(steps, 1)) + 1) }
      return true
    case .depthFirst:
      while let last = path.popLast() {
        if !last.isHeld, last.taken + 1 < last.count {
          path.append(Choice(taken: last.taken + 1, count: last.count))
          return true
        }
      }
      return false
    }
  }

  /// The decisions so far, as a string that replays them.
  var schedule: String {
    (boundsPreemptions ? "" : String(Self.unboundedMark))
      + path.map { "\($0.taken)/\($0.count)" }.joined(separator: ".")
  }
}

/// Who goes before whom in one execution, and where that changes.
///
/// After S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding
/// Bugs", ASPLOS 2010: the highest priority runs, and at a few steps, drawn beforehand, whoever
/// runs falls after all others. A fault that needs `d` such changes among `n` bodies and `k` steps
/// is met with a probability of at least `1/(n·kᵈ)` an execution.
private struct BodyPriorities {
  private var values: [Int] = []
  private var changes: [Int] = []
  private var lowest = 0

  func needsMore(for bodies: some Collection<Int>) -> Bool {
    values.count <= bodies.max() ?? 0
  }

  mutating func add(_ value: Int) { values.append(value + 1) }

  mutating func forget() {
    values.removeAll(keepingCapacity: true)
    changes.removeAll(keepingCapacity: true)
    lowest = 0
  }

  mutating func change(at step: Int) { changes.append(step) }

  mutating func pass(step: Int, running: Int) {
    while let index = changes.firstIndex(where: { $0 <= step }) {
      changes.remove(at: index)
      lowest -= 1
      values[running] = lowest
    }
  }

  func highest(of bodies: some Collection<Int>) -> Int {
    var best = 0
    var value = Int.min
    for (index, body) in bodies.enumerated() where values[body] > value {
      best = index
      value = values[body]
    }
    return best
  }
}

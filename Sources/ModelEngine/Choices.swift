// SPDX-License-Identifier: Apache-2.0

/// The decisions of one execution, and how the next one differs from it.
///
/// Everything that an execution leaves open (who goes on, which buffered store becomes visible,
/// which of several values a load returns) is a call of `choose`. Depth first, the next execution
/// repeats all decisions but the last that had an alternative left.
struct Choices {
  private struct Choice {
    var taken: Int
    var count: Int
  }
  private var path: [Choice] = []
  private var depth = 0
  private let strategy: Strategy
  private var random: UInt64

  enum Strategy {
    case depthFirst
    case random(seed: UInt64)
    case replay
  }

  init(_ strategy: Strategy) {
    self.strategy = strategy
    if case .random(let seed) = strategy { random = seed | 1 } else { random = 1 }
  }

  /// The decisions that a printed schedule stands for.
  init?(replaying schedule: String) {
    strategy = .replay
    random = 1
    for part in schedule.split(separator: ".", omittingEmptySubsequences: false) {
      let numbers = part.split(separator: "/")
      guard numbers.count == 2, let taken = Int(numbers[0]), let count = Int(numbers[1]),
        taken < count
      else { return nil }
      path.append(Choice(taken: taken, count: count))
    }
  }

  /// One of `count` alternatives, 0 the least surprising.
  mutating func choose(_ count: Int) -> Int {
    if count <= 1 { return 0 }
    defer { depth += 1 }
    if depth < path.count {
      // A schedule from other code may have other alternatives here: stay within them.
      return min(path[depth].taken, count - 1)
    }
    var taken = 0
    if case .random = strategy {
      // xorshift64*: Marsaglia 2003, Vigna 2016.
      random ^= random >> 12
      random ^= random << 25
      random ^= random >> 27
      taken = Int((random &* 0x2545_F491_4F6C_DD1D) >> 33) % count
    }
    path.append(Choice(taken: taken, count: count))
    return taken
  }

  /// Goes on to the next execution; false when there is none.
  mutating func advance() -> Bool {
    depth = 0
    switch strategy {
    case .replay: return false
    case .random:
      path.removeAll(keepingCapacity: true)
      return true
    case .depthFirst:
      while let last = path.popLast() {
        if last.taken + 1 < last.count {
          path.append(Choice(taken: last.taken + 1, count: last.count))
          return true
        }
      }
      return false
    }
  }

  /// The decisions so far, as a string that replays them.
  var schedule: String { path.map { "\($0.taken)/\($0.count)" }.joined(separator: ".") }
}

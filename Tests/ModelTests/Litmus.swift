// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import ModelEngine
  import Synchronization
  import Testing

  @testable import CPUIsolation

  /// A program of a few bodies over three words, and what may come of it.
  ///
  /// An outcome is what the bodies return, a digit each.
  struct Litmus: Sendable, CustomTestStringConvertible {
    typealias Body = @Sendable (borrowing LitmusWords) -> UInt64

    let name: String
    let memories: [ModelEngine.Memory]
    var initial: UInt64 = 0
    let bodies: [Body]
    /// Every outcome that the memory allows, and the engine shows.
    let allowed: Set<String>
    /// What must never be seen.
    var forbidden: Set<String> = []
    /// What the letter of C11 allows and the engine does not show: listed in Verification.md.
    var unseen: Set<String> = []

    var testDescription: String { name }

    /// Runs the bodies under every schedule, and collects what they return.
    func outcomes(_ memory: ModelEngine.Memory) -> Set<String> {
      let words = LitmusMemory()
      let results = LitmusMemory()
      var seen: Set<String> = []
      let outcome = ModelEngine.explore(
        memory, .init(preemptions: 4),
        prepare: { _ in
          words.reset(initial)
          results.reset(0)
          return bodies.enumerated().map { index, body in
            { results.set(index, body(words.words)) }
          }
        },
        check: { _ in
          seen.insert(bodies.indices.map { "\(results.get($0))" }.joined())
        })
      #expect(outcome.failure == nil)
      #expect(outcome.isExhausted)
      return seen
    }
  }

  struct LitmusWords: ~Copyable {
    let x = SharedWord(0)
    let y = SharedWord(0)
    let z = SharedWord(0)
    let w = SharedWord(0)
  }

  final class LitmusMemory {
    let words = LitmusWords()

    func reset(_ x: UInt64) {
      words.x.store(x, ordering: .relaxed)
      words.y.store(0, ordering: .relaxed)
      words.z.store(0, ordering: .relaxed)
      words.w.store(0, ordering: .relaxed)
    }

    func set(_ index: Int, _ value: UInt64) {
      switch index {
      case 0: words.x.store(value, ordering: .relaxed)
      case 1: words.y.store(value, ordering: .relaxed)
      case 2: words.z.store(value, ordering: .relaxed)
      default: words.w.store(value, ordering: .relaxed)
      }
    }

    func get(_ index: Int) -> UInt64 {
      switch index {
      case 0: words.x.load(ordering: .relaxed)
      case 1: words.y.load(ordering: .relaxed)
      case 2: words.z.load(ordering: .relaxed)
      default: words.w.load(ordering: .relaxed)
      }
    }
  }
#endif

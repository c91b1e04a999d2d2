// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import ModelEngine
  import Synchronization
  import Testing

  @testable import CPUIsolation

  extension ModelTests {
    /// What the checker itself finds and does not find: small programs whose outcomes are known.
    @Suite struct LitmusTests {
      /// Runs two bodies over two words under every schedule, and collects what they return.
      private func outcomes(
        _ memory: ModelEngine.Memory,
        _ first: @escaping (borrowing Words) -> UInt64,
        _ second: @escaping (borrowing Words) -> UInt64
      ) -> Set<String> {
        let words = WordsBox()
        var seen: Set<String> = []
        let results = WordsBox()
        let outcome = ModelEngine.explore(
          memory, .init(preemptions: 4),
          prepare: { _ in
            words.reset()
            results.reset()
            return [
              { results.words.x.store(first(words.words), ordering: .relaxed) },
              { results.words.y.store(second(words.words), ordering: .relaxed) },
            ]
          },
          check: { _ in
            seen.insert(
              "\(results.words.x.load(ordering: .relaxed))\(results.words.y.load(ordering: .relaxed))"
            )
          })
        #expect(outcome.failure == nil)
        #expect(outcome.isExhausted)
        return seen
      }

      @Test(arguments: [ModelEngine.Memory.totalStoreOrder, .weak])
      func storeBuffering(_ memory: ModelEngine.Memory) {
        let relaxed = outcomes(
          memory,
          {
            $0.x.store(1, ordering: .relaxed); return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed); return $0.x.load(ordering: .relaxed)
          })
        #expect(relaxed == ["00", "01", "10", "11"])
        let releaseAcquire = outcomes(
          memory,
          {
            $0.x.store(1, ordering: .releasing); return $0.y.load(ordering: .acquiring)
          },
          {
            $0.y.store(1, ordering: .releasing); return $0.x.load(ordering: .acquiring)
          })
        #expect(releaseAcquire == ["00", "01", "10", "11"])
        let consistent = outcomes(
          memory,
          {
            $0.x.store(1, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.y.store(1, ordering: .sequentiallyConsistent)
            return $0.x.load(ordering: .sequentiallyConsistent)
          })
        #expect(consistent == ["01", "10", "11"])
        let fenced = outcomes(
          memory,
          {
            $0.x.store(1, ordering: .relaxed); fullFence(); return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed); fullFence(); return $0.x.load(ordering: .relaxed)
          })
        #expect(fenced == ["01", "10", "11"])
        let modified = outcomes(
          memory,
          {
            $0.x.exchange(1, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.y.exchange(1, ordering: .sequentiallyConsistent)
            return $0.x.load(ordering: .sequentiallyConsistent)
          })
        #expect(modified == ["01", "10", "11"])
      }

      @Test func messagePassing() {
        let bodies: (AtomicUpdateOrdering) -> (borrowing Words) -> UInt64 = { _ in { _ in 0 } }
        _ = bodies
        let relaxed = outcomes(
          .weak,
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return 0
          },
          { 2 * $0.y.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) })
        #expect(relaxed.contains("02"))
        let ordered = outcomes(
          .weak,
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .releasing)
            return 0
          },
          { 2 * $0.y.load(ordering: .acquiring) + $0.x.load(ordering: .relaxed) })
        #expect(ordered == ["00", "01", "03"])
        let onTotalStoreOrder = outcomes(
          .totalStoreOrder,
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return 0
          },
          { 2 * $0.y.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) })
        #expect(onTotalStoreOrder == ["00", "01", "03"])
      }

      /// Listed as unseen: a load that reads from a store which its own thread's later store caused.
      @Test(arguments: [ModelEngine.Memory.totalStoreOrder, .weak])
      func loadBufferingIsNotModelled(_ memory: ModelEngine.Memory) {
        let seen = outcomes(
          memory,
          {
            let r = $0.x.load(ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return r
          },
          {
            let r = $0.y.load(ordering: .relaxed)
            $0.x.store(1, ordering: .relaxed)
            return r
          })
        #expect(!seen.contains("11"))
      }

      /// A read-modify-write reads the latest value, and two of them do not lose each other.
      @Test(arguments: [ModelEngine.Memory.totalStoreOrder, .weak, .sequentiallyConsistent])
      func additionsAreNotLost(_ memory: ModelEngine.Memory) {
        let seen = outcomes(
          memory,
          { $0.x.wrappingAdd(1, ordering: .relaxed).newValue },
          { $0.x.wrappingAdd(1, ordering: .relaxed).newValue })
        #expect(seen == ["12", "21"])
      }

      /// A read-modify-write in between continues the release sequence.
      @Test func releaseSequence() {
        let seen = outcomes(
          .weak,
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .releasing)
            $0.y.wrappingAdd(1, ordering: .relaxed)
            return 0
          },
          { $0.y.load(ordering: .acquiring) == 2 ? 4 + $0.x.load(ordering: .relaxed) : 0 })
        #expect(seen == ["00", "05"])
      }
    }
  }

  struct Words: ~Copyable {
    let x = SharedWord(0)
    let y = SharedWord(0)
  }

  final class WordsBox {
    let words = Words()
    func reset() {
      words.x.store(0, ordering: .relaxed)
      words.y.store(0, ordering: .relaxed)
    }
  }
#endif

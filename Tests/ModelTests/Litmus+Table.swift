// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import ModelEngine
  import Synchronization

  @testable import CPUIsolation

  extension Litmus {
    private static let both: [ModelEngine.Memory] = [.totalStoreOrder, .weak]

    static let table: [Litmus] = storeBuffering + messagePassing + merging + others

    /// Each stores its own word, then reads the other's: Dekker's pattern.
    private static let storeBuffering: [Litmus] = [
      Litmus(
        name: "store buffering, relaxed", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed)
            return $0.x.load(ordering: .relaxed)
          },
        ], allowed: ["00", "01", "10", "11"]),
      Litmus(
        name: "store buffering, release and acquire", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .releasing)
            return $0.y.load(ordering: .acquiring)
          },
          {
            $0.y.store(1, ordering: .releasing)
            return $0.x.load(ordering: .acquiring)
          },
        ], allowed: ["00", "01", "10", "11"]),
      Litmus(
        name: "store buffering, sequentially consistent", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.y.store(1, ordering: .sequentiallyConsistent)
            return $0.x.load(ordering: .sequentiallyConsistent)
          },
        ], allowed: ["01", "10", "11"], forbidden: ["00"]),
      Litmus(
        name: "store buffering, one side sequentially consistent", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.y.store(1, ordering: .releasing)
            return $0.x.load(ordering: .sequentiallyConsistent)
          },
        ], allowed: ["00", "01", "10", "11"]),
      Litmus(
        name: "store buffering, fences", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            fullFence()
            return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed)
            fullFence()
            return $0.x.load(ordering: .relaxed)
          },
        ], allowed: ["01", "10", "11"], forbidden: ["00"]),
      Litmus(
        name: "store buffering, exchanges", memories: both,
        bodies: [
          {
            $0.x.exchange(1, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.y.exchange(1, ordering: .sequentiallyConsistent)
            return $0.x.load(ordering: .sequentiallyConsistent)
          },
        ], allowed: ["01", "10", "11"], forbidden: ["00"]),
      // The entry of a CPU. By the letter of C11 the first body's last load may still be early; on
      // arm64 the LDAR before it holds it back, and on x86-64 the exchange does.
      Litmus(
        name: "store buffering, entry against a fence", memories: both,
        bodies: [
          {
            $0.x.exchange(1, ordering: .sequentiallyConsistent)
            _ = $0.z.load(ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed)
            fullFence()
            return $0.x.load(ordering: .relaxed)
          },
        ], allowed: ["01", "10", "11"], unseen: ["00"]),
      Litmus(
        name: "store buffering, entry with an acquiring look", memories: [.weak],
        bodies: [
          {
            $0.x.exchange(1, ordering: .sequentiallyConsistent)
            _ = $0.z.load(ordering: .acquiring)
            return $0.y.load(ordering: .relaxed)
          },
          {
            $0.y.store(1, ordering: .relaxed)
            fullFence()
            return $0.x.load(ordering: .relaxed)
          },
        ], allowed: ["00", "01", "10", "11"]),
    ]

    /// One writes a datum and then says so.
    private static let messagePassing: [Litmus] = [
      Litmus(
        name: "message passing, relaxed", memories: [.weak],
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return 0
          },
          { 2 * $0.y.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) },
        ], allowed: ["00", "01", "02", "03"]),
      // x86-64 keeps stores in order, and loads too.
      Litmus(
        name: "message passing, relaxed, on x86-64", memories: [.totalStoreOrder],
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return 0
          },
          { 2 * $0.y.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) },
        ], allowed: ["00", "01", "03"], forbidden: ["02"]),
      Litmus(
        name: "message passing, release and acquire", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .releasing)
            return 0
          },
          { 2 * $0.y.load(ordering: .acquiring) + $0.x.load(ordering: .relaxed) },
        ], allowed: ["00", "01", "03"], forbidden: ["02"]),
      Litmus(
        name: "message passing, release alone", memories: [.weak],
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .releasing)
            return 0
          },
          { 2 * $0.y.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) },
        ], allowed: ["00", "01", "02", "03"]),
      Litmus(
        name: "message passing, fences", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            fullFence()
            $0.y.store(1, ordering: .relaxed)
            return 0
          },
          {
            let y = $0.y.load(ordering: .relaxed)
            fullFence()
            return 2 * y + $0.x.load(ordering: .relaxed)
          },
        ], allowed: ["00", "01", "03"], forbidden: ["02"]),
      // A read-modify-write in between continues the release sequence.
      Litmus(
        name: "release sequence", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.y.store(1, ordering: .releasing)
            $0.y.wrappingAdd(1, ordering: .relaxed)
            return 0
          },
          { $0.y.load(ordering: .acquiring) == 2 ? 4 + $0.x.load(ordering: .relaxed) : 0 },
        ], allowed: ["00", "05"], forbidden: ["04"]),
    ]

    /// A bit stands in x; a sender with a new datum finds it, and its owner takes it and reads the
    /// datum. "10" is a sender that merged into a run which did not see its datum.
    private static let merging: [Litmus] = [
      Litmus(
        name: "merge by a plain look", memories: both, initial: 1,
        bodies: [
          {
            $0.y.store(1, ordering: .relaxed)
            return $0.x.load(ordering: .sequentiallyConsistent)
          },
          {
            $0.x.exchange(0, ordering: .sequentiallyConsistent)
            return $0.y.load(ordering: .sequentiallyConsistent)
          },
        ], allowed: ["00", "01", "10", "11"]),
      Litmus(
        name: "merge by a fence and a look", memories: both, initial: 1,
        bodies: [
          {
            $0.y.store(1, ordering: .relaxed)
            fullFence()
            return $0.x.load(ordering: .relaxed)
          },
          {
            $0.x.exchange(0, ordering: .sequentiallyConsistent)
            fullFence()
            return $0.y.load(ordering: .relaxed)
          },
        ], allowed: ["00", "01", "11"], forbidden: ["10"]),
      Litmus(
        name: "merge by an OR", memories: both, initial: 1,
        bodies: [
          {
            $0.y.store(1, ordering: .relaxed)
            return $0.x.bitwiseOr(1, ordering: .releasing).oldValue
          },
          {
            $0.x.exchange(0, ordering: .acquiring) == 1 ? $0.y.load(ordering: .relaxed) : 0
          },
        ],
        // What begins with 0 came after the take: its bit is there for the next one.
        allowed: ["00", "01", "11"], forbidden: ["10"]),
    ]

    private static let others: [Litmus] = [
      // A load that reads from a store which its own thread's later store caused.
      Litmus(
        name: "load buffering", memories: both,
        bodies: [
          {
            let r = $0.x.load(ordering: .relaxed)
            $0.y.store(1, ordering: .relaxed)
            return r
          },
          {
            let r = $0.y.load(ordering: .relaxed)
            $0.x.store(1, ordering: .relaxed)
            return r
          },
        ], allowed: ["00", "01", "10"], unseen: ["11"]),
      // A read-modify-write reads the latest value, and two of them do not lose each other.
      Litmus(
        name: "two additions", memories: both + [.sequentiallyConsistent],
        bodies: [
          { $0.x.wrappingAdd(1, ordering: .relaxed).newValue },
          { $0.x.wrappingAdd(1, ordering: .relaxed).newValue },
        ], allowed: ["12", "21"], forbidden: ["11"]),
      // One word is read in one order.
      Litmus(
        name: "coherence", memories: both,
        bodies: [
          {
            $0.x.store(1, ordering: .relaxed)
            $0.x.store(2, ordering: .relaxed)
            return 0
          },
          { 3 * $0.x.load(ordering: .relaxed) + $0.x.load(ordering: .relaxed) },
        ], allowed: ["00", "01", "02", "04", "05", "08"], forbidden: ["03", "06", "07"]),
      // Two readers of two independent writers: x86-64 shows all the same order, C11 below
      // sequential consistency does not.
      Litmus(
        name: "independent reads, acquire", memories: [.weak],
        bodies: independentReads(.acquiring), allowed: independentOutcomes),
      Litmus(
        name: "independent reads, acquire, on x86-64", memories: [.totalStoreOrder],
        bodies: independentReads(.acquiring),
        allowed: independentOutcomes.subtracting(["0022"]), forbidden: ["0022"]),
      Litmus(
        name: "independent reads, sequentially consistent", memories: both,
        bodies: independentReads(.sequentiallyConsistent),
        allowed: independentOutcomes.subtracting(["0022"]), forbidden: ["0022"]),
    ]

    private static func independentReads(_ ordering: AtomicLoadOrdering) -> [Body] {
      let isConsistent = ordering == .sequentiallyConsistent
      return [
        {
          if isConsistent {
            $0.x.store(1, ordering: .sequentiallyConsistent)
          } else {
            $0.x.store(1, ordering: .releasing)
          }
          return 0
        },
        {
          if isConsistent {
            $0.y.store(1, ordering: .sequentiallyConsistent)
          } else {
            $0.y.store(1, ordering: .releasing)
          }
          return 0
        },
        {
          if isConsistent {
            return 2 * $0.x.load(ordering: .sequentiallyConsistent)
              + $0.y.load(ordering: .sequentiallyConsistent)
          }
          return 2 * $0.x.load(ordering: .acquiring) + $0.y.load(ordering: .acquiring)
        },
        {
          if isConsistent {
            return 2 * $0.y.load(ordering: .sequentiallyConsistent)
              + $0.x.load(ordering: .sequentiallyConsistent)
          }
          return 2 * $0.y.load(ordering: .acquiring) + $0.x.load(ordering: .acquiring)
        },
      ]
    }

    private static let independentOutcomes = Set(
      (0..<4).flatMap { first in (0..<4).map { "00\(first)\($0)" } })
  }
#endif

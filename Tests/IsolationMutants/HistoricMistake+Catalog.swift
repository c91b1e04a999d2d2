// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  // W is 1 in user and 0 in kernel where nothing else is said; the CPU begins in user.
  extension HistoricMistake {
    static let catalog: [HistoricMistake] = [
      plainLookMerge, stateBeforeOr, invertedLook, publishAfterCatchUp, oneMoreDrain, twoMoreDrains,
      wrappedCounter,
    ]

    private static let plainLookMerge = HistoricMistake(
      "plain-look merge",
      origin: "a send that sees its bit set and the CPU in user writes nothing, and needs no fence",
      bodies: { machine, variant in
        machine.w.set(1)
        machine.k.set(1)  // somebody else's send
        return [
          {
            machine.w.modify { _ in 0 }
            if machine.k.load(.sequentiallyConsistent) != 0 {
              machine.k.modify { _ in 0 }
              historicFence()
              machine.handle()
            }
            machine.look()
          },
          {
            machine.datum.store(1, .relaxed)
            if variant == .sound { historicFence() }
            if machine.k.load(.sequentiallyConsistent) != 0,
              machine.w.load(.sequentiallyConsistent) == 1
            {
              machine.promised = 1
            }
          },
        ]
      })

    private static let stateBeforeOr = HistoricMistake(
      "state read before the OR",
      origin: "a send decides by a look at W that comes before its bit",
      bodies: { machine, variant in
        machine.w.set(1)
        return [
          {
            machine.w.modify { _ in 0 }
            if machine.k.load(.sequentiallyConsistent) != 0 {
              machine.k.modify { _ in 0 }
              historicFence()
              machine.handle()
            }
            machine.look()
          },
          {
            machine.datum.store(1, .relaxed)
            var isInUser = machine.w.load(.sequentiallyConsistent) == 1
            machine.k.modify { $0 | 1 }
            if variant == .sound { isInUser = machine.w.load(.sequentiallyConsistent) == 1 }
            if isInUser { machine.promised = 1 }
          },
        ]
      })

    /// W: 1 is in kernel ("watching"), 2 is pending work. Who sees a CPU in kernel interrupts it.
    private static let invertedLook = HistoricMistake(
      "inverted look",
      origin: """
        deferral of kernel entry work in Linux, sixth version: the compare-exchange bets on a CPU \
        in kernel, and the exit wipes the bits
        """,
      bodies: { machine, variant in
        let watching: UInt64 = 1
        let work: UInt64 = 2
        machine.w.set(watching)
        /// Whether the work was left for the next entry.
        func deferWork() -> Bool {
          var expected = machine.w.load(.relaxed)
          while true {
            if variant == .sound { expected &= ~watching } else { expected |= watching }
            let found = machine.w.modify { $0 == expected ? $0 | work : nil }
            if found == expected { return true }
            if (found & watching != 0) == (variant == .sound) { return false }
            expected = found
          }
        }
        return [
          {
            for datum in 1...2 {
              machine.datum.store(UInt64(datum), .relaxed)
              machine.sent += 1
              if deferWork() {
                machine.deferred += 1
              } else {
                machine.interrupts += 1
                machine.handle()
              }
              machine.promised = UInt64(datum)
            }
          },
          {
            machine.w.modify { _ in 0 }
            if machine.w.modify({ _ in watching }) & work != 0 { machine.handle() }
          },
        ]
      },
      check: { machine in
        machine.expect(
          machine.seen == machine.promised,
          "sent \(machine.sent), deferred \(machine.deferred), interrupts \(machine.interrupts): "
            + "executed \(machine.executed)")
      })

    private static let publishAfterCatchUp = HistoricMistake(
      "publish after catch-up",
      origin: """
        the same, seventh version: an entry that catches up first and says afterwards that it is \
        in kernel
        """,
      bodies: { machine, variant in
        machine.w.set(1)
        return [
          {
            if variant == .sound { machine.w.modify { _ in 0 } }
            let generation = machine.generation.load(.sequentiallyConsistent)
            if generation != 0 { machine.handle() }
            if variant == .broken { machine.w.modify { _ in 0 } }
            machine.look()
          },
          {
            machine.datum.store(1, .relaxed)
            machine.generation.modify { $0 + 1 }
            if machine.w.load(.sequentiallyConsistent) == 1 { machine.promised = 1 }
          },
        ]
      })

    private static let oneMoreDrain = drainCount(
      "ticket by count of drains",
      origin: "a waiter takes one more drain for its own: it may have begun before the send",
      more: 1)

    private static let twoMoreDrains = drainCount(
      "ticket by two more drains",
      origin: "a waiter that wants to be sure waits for a second one: nobody sends it", more: 2)

    /// The CPU stays in kernel and drains at safe points; a bit of somebody else is pending.
    private static func drainCount(
      _ name: String, origin: String, more: UInt64
    ) -> HistoricMistake {
      HistoricMistake(
        name, origin: origin,
        bodies: { machine, variant in
          machine.k.set(1)
          return [
            {
              var drains: UInt64 = 0
              while machine.end.load(.acquiring) == 0 {
                if machine.k.load(.relaxed) != 0 {
                  machine.k.modify { _ in 0 }
                  let generation = machine.generation.load(.acquiring)
                  machine.handle()
                  drains += 1
                  machine.applied.store(variant == .sound ? generation : drains, .releasing)
                }
                machine.engine.wait()
              }
            },
            {
              machine.datum.store(1, .relaxed)
              var wanted: UInt64
              if variant == .sound {
                wanted = machine.generation.modify { $0 + 1 } + 1
                machine.k.modify { $0 | 1 }
              } else {
                machine.k.modify { $0 | 1 }
                wanted = machine.applied.load(.sequentiallyConsistent) + more
              }
              while machine.applied.load(.acquiring) < wanted { machine.engine.wait() }
              machine.expect(machine.seen == 1, "executed, but the datum was not read")
              machine.end.store(1, .releasing)
            },
          ]
        })
    }

    /// W is a counter of two bits, odd in kernel.
    private static let wrappedCounter = HistoricMistake(
      "< on a wrapped counter",
      origin: "a grace period waits until the counter is not less than what it saw, and one",
      bodies: { machine, variant in
        machine.w.set(2)
        return [
          {
            machine.w.modify { ($0 + 1) & 3 }
            _ = machine.k.load(.sequentiallyConsistent)
            if machine.datum.load(.relaxed) == 0 {  // still linked
              machine.expect(machine.end.load(.relaxed) == 0, "freed while it is looked at")
            }
            machine.w.store(0, .releasing)
          },
          {
            machine.datum.store(1, .relaxed)
            historicFence()
            let snapshot = machine.w.load(.sequentiallyConsistent)
            if snapshot & 1 != 0 {
              while true {
                let word = machine.w.load(.sequentiallyConsistent)
                let hasPassed =
                  variant == .sound ? word != snapshot : word >= (snapshot + 1) & 3
                if hasPassed { break }
                machine.engine.wait()
              }
            }
            machine.end.store(1, .relaxed)
          },
        ]
      })
  }
#endif

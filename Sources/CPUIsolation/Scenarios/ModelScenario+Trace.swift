// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// A ring of two slots for events of two words.
    func traceRing(isShared: Bool) -> TraceRing {
      traceMemory.clear()
      return TraceRing(base: traceMemory.address, mask: 1, payloadWords: 2, isShared: isShared)
    }

    func write(_ value: UInt64, to ring: TraceRing) {
      var payload: [UInt64] = [value, value]
      _ = unsafe payload.withUnsafeMutableBufferPointer {
        // Safety: the payload has two words.
        unsafe ring.write(Table($0.baseAddress.unsafelyUnwrapped), words: 2, at: value)
      }
    }

    /// Reads what is there: each event is whole, and none is older than one before it.
    func checkRing(_ ring: TraceRing) -> Int {
      let end = ring.end
      var found = 0
      // Safety: new memory, for as long as this looks at it.
      let buffer = unsafe Table<UInt64>(UnsafeMutablePointer.allocate(capacity: 2))
      defer { unsafe buffer.first.pointer.deallocate() }
      for position in ring.start(of: end)..<end {
        guard case .event(let time, let words) = ring.read(position, into: buffer) else {
          continue
        }
        found += 1
        expect(
          words == 2 && buffer[0] == buffer[1] && buffer[0] == time,
          "an event of parts: time \(time), words \(buffer[0]) and \(buffer[1])")
      }
      return found
    }
  }

  extension ModelScenario {
    static let traceScenarios: [ModelScenario] = [
      ModelScenario(
        "a ring of many threads",
        rule: "what a reader takes out of a ring is one event, whole, while writers go round",
        preemptions: 2,
        bodies: { machine in
          let ring = machine.traceRing(isShared: true)
          return [
            {
              machine.write(1, to: ring)
              machine.write(2, to: ring)
            },
            {
              machine.write(3, to: ring)
              machine.write(4, to: ring)
            },
            { _ = machine.checkRing(ring) },
          ]
        },
        check: { machine in
          let ring = TraceRing(
            base: machine.traceMemory.address, mask: 1, payloadWords: 2, isShared: true)
          machine.expect(ring.end == 4, "a position was given twice")
          _ = machine.checkRing(ring)
        }),
      ModelScenario(
        "a CPU's ring and its signals",
        rule: "a signal that records in between spoils no event",
        preemptions: 2,
        bodies: { machine in
          let ring = machine.traceRing(isShared: false)
          let engine = machine.engine!
          return [
            {
              for value in 1...2 as ClosedRange<UInt64> { machine.write(value, to: ring) }
            },
            {
              engine.interrupt(threadID: 1) {
                machine.write(10, to: ring)
                machine.write(11, to: ring)
              }
              _ = machine.checkRing(ring)
            },
          ]
        },
        check: { machine in
          let ring = TraceRing(
            base: machine.traceMemory.address, mask: 1, payloadWords: 2, isShared: false)
          machine.expect(machine.checkRing(ring) >= 1, "nothing is left")
        }),
      ModelScenario(
        "a filter that is changed",
        rule: "a filter that was freed is not looked at, by threads or by CPUs",
        preemptions: 3,
        bodies: { machine in
          machine.place(0, .user)
          machine.traceMemory.clear()
          let buffers = TraceBuffers(
            initializing: machine.traceMemory.address, cpus: 1, events: 2, payloadWords: 2)
          // Never looked into: addresses alone.
          let programs = (1...2 as ClosedRange<UInt>).map {
            FilterProgram(base: Address(at: $0 * 4096)!)
          }
          buffers.setFilter(programs[0], of: 0)
          let look = { (isProtected: Bool) in
            buffers.withFilter(of: 0, isProtected: isProtected) { program in
              guard let program, program.base == programs[0].base else { return }
              machine.expect(
                machine.flags[0].load(ordering: .relaxed) == 0, "the filter was freed")
            }
          }
          return [
            {
              let slot = machine.become(0)
              machine.enter(slot)
              look(true)
              machine.leave(slot)
            },
            { look(false) },
            {
              buffers.setFilter(programs[1], of: 0)
              var wait = GracePeriodWait(machine.core.slots, excluding: nil)
              var backoff = Backoff()
              var sides = TraceBuffers.bothSides & ~buffers.unreadSides()
              while sides != 0 {
                backoff.wait()
                sides &= ~buffers.unreadSides()
              }
              while !wait.poll(machine.core.slots) { backoff.wait() }
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }, check: { _ in }),
    ]
  }
#endif

// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// The sections of an execution, and a list of one word: 0, or what is attached.
  private struct ProbeTrial {
    let machine: ModelMachine
    let sections: ProbeSections

    init(_ machine: ModelMachine) {
      self.machine = machine
      machine.traceMemory.clear()
      // Safety: memory of the machine, zeroed.
      sections = ProbeSections(base: machine.traceMemory.address)
      machine.flags[0].store(1, ordering: .relaxed)
      for number in 0..<Limits.hazardThreads {
        let line = sections.line(number).base.bits
        // Whose line it is, and what runs: nobody decides by it here.
        machine.engine.privateRanges.append(line + 8..<line + 128)
        if machine.engine.isTracing { machine.engine.names[line] = "section\(number)" }
      }
    }

    /// A hit: what it finds in the list is not freed under its eyes. What it wrote is seen by who
    /// frees.
    func hit(_ thread: Int) {
      guard case .entered(let line) = sections.enter() else { return }
      // As `ProbeCore` looks at the list of a site.
      if machine.flags[0].load(ordering: .sequentiallyConsistent) != 0 {
        machine.expect(machine.flags[1].load(ordering: .relaxed) == 0, "used after it was freed")
        let hits = machine.data[thread].load(ordering: .relaxed)
        machine.data[thread].store(hits + 1, ordering: .relaxed)
        machine.runs += 1
        machine.expect(machine.flags[1].load(ordering: .relaxed) == 0, "freed while it was used")
      }
      sections.leave(line)
    }

    /// A removal, and what may be done when it has returned.
    func remove() {
      machine.flags[0].store(0, ordering: .releasing)
      var wait = ProbeSections.Wait(sections)
      var backoff = Backoff()
      while !wait.poll() { backoff.wait() }
      let seen = (0..<3).reduce(0) { $0 + machine.data[$1].load(ordering: .relaxed) }
      machine.expect(
        seen == UInt64(machine.runs), "\(machine.runs) hits, and \(seen) are seen after the wait")
      machine.flags[1].store(1, ordering: .relaxed)
    }
  }

  extension ModelScenario {
    static let probeScenarios: [ModelScenario] = [
      ModelScenario(
        "a probe that is removed while it is hit",
        rule: "when a removal has returned, no thread is in the probe's handler or finds it",
        preemptions: 2,
        bodies: { machine in
          let trial = ProbeTrial(machine)
          return [
            {
              trial.hit(0)
              trial.hit(0)
            }, { trial.hit(1) }, { trial.remove() },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a signal that hits a probe",
        rule:
          "a handler of a signal hits probes as the thread does, and neither ends the other's section",
        preemptions: 2,
        bodies: { machine in
          let trial = ProbeTrial(machine)
          return [
            {
              trial.hit(0)
              trial.hit(0)
            },
            { machine.engine.interrupt(threadID: 1) { trial.hit(0) } },
            { trial.remove() },
          ]
        }, check: { _ in }),
    ]
  }
#endif

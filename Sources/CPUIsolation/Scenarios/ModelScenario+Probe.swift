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

  /// What one thread counts in a histogram of two buckets, with a log of two values, and what readers see.
  private final class HistogramTrial {
    private let machine: ModelMachine
    private let stripe: ProbeHistogramStripe
    /// The counts after each value.
    private var states: [[UInt64]] = [[0, 0]]

    init(_ machine: ModelMachine) {
      self.machine = machine
      machine.traceMemory.clear()
      // Safety: memory of the machine, zeroed.
      stripe = ProbeHistogramStripe(words: unsafe Table(machine.traceMemory.address), buckets: 2)
      if machine.engine.isTracing {
        machine.engine.names[stripe.written.bits] = "written"
        machine.engine.names[stripe.sequence.bits] = "sequence"
      }
    }

    /// Counts a value, and tells readers when it is counted.
    func count(_ bucket: Int) {
      var next = states[states.count - 1]
      next[bucket] += 1
      states.append(next)
      stripe.append(bucket)
      machine.flags[0].store(UInt64(states.count - 1), ordering: .releasing)
    }

    /// One look: it has what was counted at some instant of it.
    func read() {
      let first = Int(machine.flags[0].load(ordering: .acquiring))
      guard let look = stripe.look(), look.isSettled else { return }
      var counts: [UInt64] = [0, 0]
      look.add(to: &counts)
      machine.expect(
        states[first...].contains(counts),
        "read \(counts), which was not so: \(states[first...])")
      machine.runs += 1
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
      ModelScenario(
        "a histogram that is read while it is written",
        rule: "a reader counts every value once, in the log or in its bucket",
        preemptions: 2,
        bodies: { machine in
          let trial = HistogramTrial(machine)
          return [
            {
              for bucket in [1, 0, 1, 1] { trial.count(bucket) }
            }, { trial.read() },
          ]
        }, check: { _ in }),
    ]
  }
#endif

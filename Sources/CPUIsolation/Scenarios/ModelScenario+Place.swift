// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import ModelEngine

  /// The sections of an execution, and a table of points by object and offset, of two entries.
  private struct PlaceTrial {
    let machine: ModelMachine
    let sections: ProbeSections
    let places: ProbePlaces

    /// Two keys of one object.
    static var keys: (first: UInt64, second: UInt64) { (1, 2) }

    init(_ machine: ModelMachine) {
      self.machine = machine
      machine.traceMemory.clear()
      let base = machine.traceMemory.address
      sections = ProbeSections(base: base)
      // Safety: neither is looked at: hits here have an object and an offset.
      let core = ProbeCore(base: unsafe Place(base))
      let regions = unsafe unsafeBitCast(base, to: RegionTree.self)
      places = ProbePlaces(
        initializing: base + ProbeSections.byteCount, entries: 2, core: core, regions: regions)
      places.put(site(of: Self.keys.first), 0, Self.keys.first, at: place(of: Self.keys.first))
      for number in 0..<Limits.hazardThreads {
        let line = sections.line(number).base.bits
        machine.engine.privateRanges.append(line + 8..<line + 128)
        if machine.engine.isTracing { machine.engine.names[line] = "section\(number)" }
      }
      if machine.engine.isTracing {
        for entry in 0..<2 {
          machine.engine.names[places.entry(entry).place(0).bits] = "site\(entry)"
          machine.engine.names[places.entry(entry).place(2).bits] = "offset\(entry)"
        }
      }
    }

    /// An address that stands for the site of a key.
    private func site(of key: UInt64) -> ProbeSite {
      // Safety: an address that is compared, and never followed.
      ProbeSite(base: unsafe Place(Address(at: UInt(key) << 12)!))
    }

    private func place(of key: UInt64) -> Int { places.search(0, key).free! }

    /// A hit: what it finds is the site of its key.
    func hit(_ key: UInt64) {
      guard case .entered(let line) = sections.enter() else { return }
      let isRemoved =
        key == Self.keys.first && machine.flags[0].load(ordering: .acquiring) != 0
      let found = places.find(0, key)
      sections.leave(line)
      machine.expect(
        found == nil || found == UInt(key) << 12,
        "the hit of place \(key) found the site of another")
      machine.expect(!isRemoved || found == nil, "found after its removal had returned")
      machine.runs += 1
    }

    /// The first key is taken away, and the second one put into the entry that it had.
    func replace() {
      let entry = places.search(0, Self.keys.first).found!
      places.takeAway(at: entry)
      var wait = ProbeSections.Wait(sections)
      var backoff = Backoff()
      while !wait.poll() { backoff.wait() }
      places.release(entry)
      machine.flags[0].store(1, ordering: .releasing)
      places.put(site(of: Self.keys.second), 0, Self.keys.second, at: entry)
    }
  }

  extension ModelScenario {
    static let placeScenarios: [ModelScenario] = [
      ModelScenario(
        "an entry of points that is used again",
        rule: "what a hit at an address finds is the point of that address",
        preemptions: 2,
        bodies: { machine in
          let trial = PlaceTrial(machine)
          return [
            {
              trial.hit(PlaceTrial.keys.first)
              trial.hit(PlaceTrial.keys.second)
            },
            { trial.hit(PlaceTrial.keys.second) },
            { trial.replace() },
          ]
        }, check: { _ in })
    ]
  }
#endif

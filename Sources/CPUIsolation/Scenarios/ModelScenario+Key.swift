// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  // One for all: explorations run one at a time.
  let patchMemory = try! MappedMemory(byteCount: KeyTable.byteCount)

  extension ModelMachine {
    /// A table of keys whose work is type 0.
    func patchTable() -> (KeyTable, WorkType) {
      let work = registerType()
      patchMemory.clear()
      let base = patchMemory.address
      let table = KeyTable(initializing: base, part: 0, of: core.slots)
      table.usedGroups.value.store(1, ordering: .relaxed)
      // Safety: the memory is there for good.
      core.records[0].handler = unsafe .init(CPUHandler(KeyTable.handler, base.pointer))
      engine.privateRanges += table.modelPrivateRanges(cpus: Self.cpus)
      if engine.isTracing {
        engine.names[base.bits] = "claim"
        engine.names[base.bits + 128] = "stamp"
        for word in 0..<3 {
          for set in 0..<2 {
            let masters = table.masters(of: 0, at: UInt64(set))
            engine.names[masters.place(word).bits] = "master\(word) of set \(set)"
          }
          engine.names[table.count(word).bits] = "count\(word)"
        }
      }
      return (table, work)
    }

    /// Changes a key as `StaticKeys` does, or exchanges a call; CPU 0 alone is reached.
    @discardableResult
    func change(
      _ table: KeyTable, _ work: WorkType, key: Int = 0, users: Int = 0,
      words: [UInt64] = [], as sender: Int
    ) -> KeyTable.Turn.Result {
      var turns = users == 0 ? [] : [KeyTable.Turn(table: table, key: key, users: users)]
      var exchanges = words.isEmpty ? [] : [KeyTable.Exchange(index: 2, words: words)]
      table.change(&turns, &exchanges) { turns, exchanges in
        guard turns.contains(where: { $0.result == .flipped }) || exchanges.contains(where: \.isNew)
        else { return }
        let generation = drawTicket(work)
        _ = path(sender).deliver(work, to: 0, from: CallSite("model", 0))
        _ = self.await(generation, work, on: 0)
      }
      return turns.first?.result ?? .counted
    }

    /// Adds a user as `StaticKeys.enable` does.
    @discardableResult
    func enable(_ table: KeyTable, _ work: WorkType, as sender: Int) -> StaticKey.Outcome? {
      if let outcome = table.incrementIfOn(0, by: 1) { return outcome }
      return change(table, work, users: 1, as: sender) == .flipped ? .flipped : .counted
    }

    /// The function and the context of the call, which have to be of one exchange.
    func call(of table: KeyTable) -> UInt64 {
      let function = word(2, of: table)
      expect(function == word(3, of: table), "the function of one, and the context of another")
      return function
    }

    func word(_ index: Int, of table: KeyTable) -> UInt64 {
      table.copy(index, of: 0).value.load(ordering: .relaxed)
    }

    /// What somebody who was told that the key is on has told others, and what the CPU has.
    func expectOnIfTold(_ table: KeyTable, _ place: String) {
      if flags[0].load(ordering: .relaxed) != 0 {
        expect(word(0, of: table) == 1, "\(place): the key was enabled, and is off")
      }
    }
  }

  extension ModelScenario {
    static let keyScenarios: [ModelScenario] = [
      ModelScenario(
        "a key is turned",
        rule: "in kernel a CPU has what a finished enable turned; in user it keeps what it had",
        preemptions: 3,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              machine.expectOnIfTold(table, "in kernel")
              OwnerTransitions.safePoint(slot)
              machine.expectOnIfTold(table, "after a safe point")
              machine.leave(slot)
              let before = machine.word(0, of: table)
              let isTold = machine.flags[0].load(ordering: .relaxed) != 0
              machine.expect(
                machine.word(0, of: table) == before, "the key was turned in a user section")
              machine.enter(slot)
              machine.expect(
                !isTold || machine.word(0, of: table) == 1, "entered with what is older than told")
              machine.expectOnIfTold(table, "after an entry")
              machine.leave(slot)
            },
            {
              machine.enable(table, work, as: 0)
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a key is turned for two users",
        rule: "what holds for the first user's enable holds for that of the next",
        preemptions: 1,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .kernel)
          return [
            {
              let slot = machine.become(0)
              OwnerTransitions.safePoint(slot)
              machine.expectOnIfTold(table, "in kernel")
              machine.leave(slot)
            },
            { machine.enable(table, work, as: 0) },
            {
              machine.enable(table, work, as: 1)
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "a key is turned while a thread attaches",
        rule: "a thread has, when it has attached, what an enable that has returned turned",
        preemptions: 2,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          return [
            {
              let slot = machine.attach(0)
              // What `runAttachWork` does.
              _ = machine.path(1).deliver(work, to: 0, from: CallSite("model", 0))
              machine.expectOnIfTold(table, "after the attachment")
              machine.leave(slot)
              machine.enter(slot)
              machine.expectOnIfTold(table, "after an entry")
              machine.leave(slot)
            },
            {
              machine.enable(table, work, as: 0)
              machine.flags[0].store(1, ordering: .relaxed)
            },
          ]
        }, check: { _ in }),
      ModelScenario(
        "the first user of a key, and the next",
        rule: "whoever finds a key on finds it turned: what a thread that is no CPU reads, too",
        preemptions: 3,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          machine.place(0, .user)
          let enable = { (sender: Int) in
            _ = machine.enable(table, work, as: sender)
            machine.expect(
              table.master(0) == 1, "enabled, and the shared value is off")
          }
          return [{ enable(0) }, { enable(1) }]
        },
        check: { machine in
          let table = KeyTable(base: patchMemory.address)
          machine.expect(
            table.count(0).value.load(ordering: .relaxed) == 2, "a user was lost")
        }),
      ModelScenario(
        "users of a key come and go",
        rule: "two enable and one disables, right or wrong: no user is lost or invented",
        preemptions: 2,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          return [
            { machine.enable(table, work, as: 0) },
            { machine.enable(table, work, as: 1) },
            {
              switch table.decrement(0, by: 1, isClaimer: false) {
              case .counted: machine.runs = 1
              case .last:
                let result = machine.change(table, work, users: -1, as: 2)
                if result == .counted || result == .flipped { machine.runs = 1 }
              case .tooFew, .enabling: break
              }
            },
          ]
        },
        check: { machine in
          let table = KeyTable(base: patchMemory.address)
          let count = table.count(0).value.load(ordering: .relaxed)
          machine.expect(
            count == UInt64(2 - machine.runs),
            "two users came and \(machine.runs) went, and \(Int64(bitPattern: count)) are counted")
          machine.expect(table.master(0) == 1, "used, and off")
        }),
      ModelScenario(
        "what the users of a key did",
        rule: "the last user sees what the others did while they held the key on",
        preemptions: 3,
        bodies: { machine in
          let (table, work) = machine.patchTable()
          table.count(0).value.store(2, ordering: .relaxed)
          table.write([1], at: 0)
          let leave = { (user: Int) in
            machine.flags[user].store(1, ordering: .relaxed)
            if table.decrement(0, by: 1, isClaimer: false) == .last,
              machine.change(table, work, users: -1, as: user) == .flipped
            {
              machine.expect(
                machine.flags[1 - user].load(ordering: .relaxed) == 1,
                "off, and what another user did is not seen")
            }
          }
          return [{ leave(0) }, { leave(1) }]
        }, check: { _ in }),
    ]
  }
#endif

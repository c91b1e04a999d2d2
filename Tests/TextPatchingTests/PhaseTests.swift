// SPDX-License-Identifier: Apache-2.0

#if arch(x86_64)
  import CPUIsolation
  import CPUIsolationTesting
  import Testing

  @testable import CPUIsolationTextPatching

  extension TextPatchingTests {
    /// The three phases, held up one by one by a CPU in kernel that reaches no safe point.
    @Suite struct Phases {
      enum Kind: CaseIterable {
        case nop, jump, call, farJump, otherJump

        func instruction() throws -> PatchSite.Instruction {
          switch self {
          case .nop: .nop
          case .jump: .jump(to: Functions.replacement)
          case .call: .call(Functions.hook)
          case .farJump: .jump(to: try #require(Functions.far()))
          case .otherJump: .jump(to: Functions.other)
          }
        }

        /// What a call with -3 and 4 returns.
        var result: Int {
          switch self {
          case .nop, .call: 1
          case .jump: -2_996
          case .farJump: 3
          case .otherJump: -2_999_996
          }
        }
      }

      /// Every byte after every phase, wherever the site stands in its cache lines: whole in one,
      /// across a border after each of its bytes.
      @Test(arguments: [0, 1, 16, 59, 60, 61, 62, 63, 64])
      func bytesAreExact(offset: Int) throws {
        for from in Kind.allCases {
          for to in Kind.allCases where to != from {
            try Self.patch(from, to, offset: offset)
          }
        }
      }

      private static func patch(_ from: Kind, _ to: Kind, offset: Int) throws {
        let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
        let patcher = try TextPatcher(
          coordinator: machine.coordinator, capacity: 3, layout: SlotLayout(siteOffset: offset))
        // In the middle: whatever is written beside it shows.
        let sites = try (0..<3).map { try patcher.makeSite("\($0)", original: Functions.original) }
        let site = sites[1]
        try patcher.patch(site, to: try from.instruction())
        #expect(machine[1].run { site(on: $0, -3, 4) } == from.result)

        let memory = site.memory
        func bytes() -> [UInt8] { Array(memory.bytes(of: 1)[offset..<offset + 5]) }
        // The bytes of a phase are there before the round that follows them is asked for.
        func reachSafePoint() throws {
          try #require(eventually { machine.isPending(patcher.work, on: 1) })
          machine[1].safePoint()
        }
        let neighbours = [memory.bytes(of: 0), memory.bytes(of: 2)]
        let old = bytes()
        let instruction = try to.instruction()
        let hooks = Counts.hooks.load(ordering: .relaxed)
        let thread = TestThread {
          do {
            let report = try patcher.patch(site, to: instruction)
            #expect(report.executed >= report.rounds - 1, "\(report)")
            #expect(report.traps == report.rounds - 1, "\(report)")
          } catch {
            Issue.record("\(error)")
          }
        }
        var calls = 0
        var phase = [0xcc] + old.dropFirst()
        let expected = PatchSite.Instruction.nop.isSame(as: instruction) ? X86Code.nop : nil

        // 1. The breakpoint, the rest as it was; a call does what the new instruction does.
        #expect(eventually { bytes() == phase }, "\(from) \(to): \(bytes()) is not \(phase)")
        #expect(machine[1].run { site(on: $0, -3, 4) } == to.result, "\(from) → \(to)")
        calls += 1
        #expect(!thread.hasEnded && bytes() == phase, "it goes on without the CPU")
        try reachSafePoint()

        // 2. The new tail after it, if there is one.
        let new = try Self.code(instruction, patcher, site)
        if new.dropFirst() != old.dropFirst() {
          phase = [0xcc] + new.dropFirst()
          #expect(eventually { bytes() == phase }, "\(from) \(to): \(bytes()) is not \(phase)")
          #expect(machine[1].run { site(on: $0, -3, 4) } == to.result)
          calls += 1
          #expect(!thread.hasEnded && bytes() == phase, "it goes on without the CPU")
          try reachSafePoint()
        }

        // 3. The whole instruction: no trap any more.
        #expect(eventually { bytes() == new }, "\(from) \(to): \(bytes()) is not \(new)")
        if let expected { #expect(new == expected) }
        #expect(machine[1].run { site(on: $0, -3, 4) } == to.result)
        calls += 1
        #expect(!thread.hasEnded, "it ends without the CPU")
        try reachSafePoint()
        thread.join()
        #expect(bytes() == new)
        #expect(machine[1].run { site(on: $0, -3, 4) } == to.result)
        #expect(Counts.hooks.load(ordering: .relaxed) == hooks + (to == .call ? calls + 1 : 0))
        #expect([memory.bytes(of: 0), memory.bytes(of: 2)] == neighbours)
        #expect(machine[1].run { sites[0](on: $0, 1, 1) } == 2)
        #expect(machine[1].run { sites[2](on: $0, 1, 1) } == 2)
      }

      /// The bytes of an instruction at the site, by the encoder, which has tests of its own.
      private static func code(
        _ instruction: PatchSite.Instruction, _ patcher: TextPatcher, _ site: PatchSite
      ) throws -> [UInt8] {
        let at = site.memory.address(1, site.memory.layout.siteOffset)
        let arm = patcher.state.withLock { $0.sites[1].arm }
        let base = SlotLayout.arms[arm]
        switch instruction {
        case .nop: return X86Code.nop
        case .jump:
          if let direct = X86Code.jump(to: instruction.target, at: at) { return direct }
          return try #require(
            X86Code.jump(to: site.memory.address(1, base + SlotLayout.veneer), at: at))
        case .call:
          return try #require(
            X86Code.call(site.memory.address(1, base + SlotLayout.adaptor), at: at))
        }
      }

      /// The deadline comes in each phase in turn. The new behaviour is there all along, and the
      /// next patch brings the earlier one to its end before its own.
      @Test func anUnfinishedPatchIsFinished() throws {
        let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
        let patcher = try TextPatcher(coordinator: machine.coordinator)
        let site = try patcher.makeSite("site", original: Functions.original)
        let other = try patcher.makeSite("other", original: Functions.original)
        #expect(machine[1].run { site(on: $0, 1, 1) } == 2)
        func bytes() -> [UInt8] { Array(site.memory.bytes(of: 0)[..<5]) }
        func isTimedOut(_ action: () throws(IsolationError) -> PatchReport) -> Bool {
          do throws(IsolationError) {
            _ = try action()
            return false
          } catch {
            #expect(
              "\(error)"
                == "cannot patch text: CPUs 1 reached no safe point in time: ETIMEDOUT: timed out")
            return error.code == .timedOut
          }
        }
        let jump = PatchSite.Instruction.jump(to: Functions.replacement)
        let new = try #require(X86Code.jump(to: jump.target, at: site.memory.address(0, 0)))
        let steps = [[0xcc] + X86Code.nop.dropFirst(), [0xcc] + new.dropFirst(), new]
        #expect(
          isTimedOut { () throws(IsolationError) in
            try patcher.patch(site, to: jump, timeout: .milliseconds(20))
          })
        for (step, expected) in steps.enumerated() {
          #expect(bytes() == expected)
          #expect(machine[1].run { site(on: $0, 1, 1) } == 1_001)
          #expect(machine[1].run { other(on: $0, 1, 1) } == 2)
          // The next patch asks for the phase once more, then goes on to the next one, and no
          // further.
          let sent = machine.statistics[patcher.work, on: 1].sent
          let next = TestThread {
            do throws(IsolationError) {
              // What it is asked for itself waits for that: it is not done before the last step.
              let report = try patcher.patch(
                other, to: step < 2 ? jump : .nop,
                timeout: step < 2 ? .seconds(3) : .seconds(20))
              #expect(step == 2 && report.unchanged == 1)
            } catch {
              #expect(step < 2 && error.code == .timedOut)
              #expect("\(error)".hasPrefix("cannot finish an earlier patch: CPUs 1 "), "\(error)")
            }
          }
          #expect(eventually { machine.statistics[patcher.work, on: 1].sent > sent })
          machine[1].safePoint()
          next.join()
        }
        machine[1].enterUser()
        let report = try patcher.patch([(other, jump), (site, .nop)], timeout: .seconds(20))
        #expect(report.sites == 2 && report.traps == 0)
        machine[1].enterKernel()
        #expect(machine[1].run { site(on: $0, 1, 1) } == 2)
        #expect(machine[1].run { other(on: $0, 1, 1) } == 1_001)
      }
    }
  }
#endif

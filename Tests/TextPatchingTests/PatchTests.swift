// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Synchronization
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// What a site does, seen by those who call it.
  @Suite struct Patching {
    @Test func everyInstructionDoesWhatItSays() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("sum", original: Functions.original)
      let cpu = try coordinator.attach(to: 0)
      #expect(site(on: cpu, 3, 4) == 7)

      let report = try patcher.patch(site, to: .jump(to: Functions.replacement))
      #expect(report.sites == 1 && report.unchanged == 0 && report.traps == 0)
      #expect(report.rounds == NativeCode.phases.count)
      #expect(site(on: cpu, 3, 4) == 3_004)

      let before = Counts.hooks.load(ordering: .relaxed)
      try patcher.patch(site, to: .call(Functions.hook))
      #expect(site(on: cpu, 3, 4) == 7, "the arguments outlive the hook")
      #expect(Counts.hooks.load(ordering: .relaxed) == before + 1)
      #expect(Counts.arguments.load(ordering: .relaxed) == 3 << 32 | 4)

      // From each instruction to one of the same kind with another function, and back to nothing.
      try patcher.patch(site, to: .call(Functions.otherHook))
      let others = Counts.otherHooks.load(ordering: .relaxed)
      #expect(site(on: cpu, 1, 1) == 2)
      #expect(Counts.hooks.load(ordering: .relaxed) == before + 1)
      #expect(Counts.otherHooks.load(ordering: .relaxed) == others + 1)
      try patcher.patch(site, to: .jump(to: Functions.replacement))
      try patcher.patch(site, to: .jump(to: Functions.other))
      #expect(site(on: cpu, 2, 5) == 2_000_005)
      try patcher.patch(site, to: .nop)
      #expect(site(on: cpu, 2, 5) == 7)
      cpu.detach()
    }

    /// A target that a branch does not reach is reached through the slot's own jump.
    @Test func distanceDoesNotMatter() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let far = try #require(Functions.far())
      let near = try patcher.makeSite("near", original: Functions.original)
      let site = try patcher.makeSite("far", original: far)
      #expect(
        NativeCode.jump(
          to: PatchSite.Instruction.jump(to: far).target, at: near.memory.address(0, 0)) == nil)
      let cpu = try coordinator.attach(to: 0)
      #expect(site(on: cpu, -5) == 5)
      try patcher.patch(near, to: .jump(to: far))
      #expect(near(on: cpu, -9, 1) == 9)
      try patcher.patch(near, to: .call(far))
      #expect(near(on: cpu, -9, 1) == -8)
      try patcher.patch(site, to: .jump(to: Functions.original))
      #expect(site(on: cpu, -9, 1) == -8)
      cpu.detach()
    }

    /// What the program's own functions need is a direct branch: the text is mapped close to them.
    @Test func ownFunctionsAreInReach() throws {
      let patcher = try TextPatcher(coordinator: try Coordinator.quiet())
      let site = try patcher.makeSite("near", original: Functions.original)
      let target = PatchSite.Instruction.jump(to: Functions.replacement).target
      #expect(NativeCode.jump(to: target, at: site.memory.address(0, 0)) != nil)
    }

    @Test func aCPUInUserIsLeftInPeace() throws {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1, 2])
      let patcher = try TextPatcher(coordinator: machine.coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      for cpu in [1, 2] { #expect(machine[cpu].run { site(on: $0, 1, 1) } == 2) }
      machine[1].enterUser()
      machine[2].enterUser()
      let report = try patcher.patch(
        site, to: .jump(to: Functions.replacement), timeout: .seconds(20))
      // Three rounds, two CPUs, and neither has heard of it.
      #expect(report.deferred == 2 * NativeCode.phases.count && report.executed == 0)
      for cpu in [1, 2] {
        #expect(machine.isPending(patcher.work, on: cpu))
        #expect(machine.executed(patcher.work, on: cpu) == 0)
        #expect(machine.statistics[patcher.work, on: cpu].interrupted == 0)
        machine[cpu].enterKernel()
        #expect(machine.executed(patcher.work, on: cpu) == 1, "one run covers three rounds")
        #expect(machine[cpu].run { site(on: $0, 1, 1) } == 1_001)
      }
    }

    @Test func whoNeverCallsASiteIsNotWaitedFor() throws {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
      let patcher = try TextPatcher(coordinator: machine.coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      // Both are in kernel, and reach no safe point.
      let report = try patcher.patch(
        site, to: .jump(to: Functions.replacement), timeout: .seconds(20))
      #expect(report.deferred == 0 && report.executed == 0)
      #expect(machine.statistics[patcher.work].sent == 0)
      #expect(machine[1].run { site(on: $0, 1, 1) } == 1_001)
      #expect(machine[0].run { site(on: $0, 1, 1) } == 1_001)
    }

    /// A thread that attaches asks again, whoever had the CPU before.
    @Test func attachmentsAreAdmittedOneByOne() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      for round in 1...3 {
        let cpu = try coordinator.attach(to: 1)
        #expect(site(on: cpu, round, 0) == round)
        let word = unsafe site.memory.admission(of: 1).pointee.load(ordering: .relaxed)
        #expect(word == cpu.handle.attachment)
        cpu.detach()
        let report = try patcher.patch(
          site, to: round == 2 ? .nop : .jump(to: Functions.original), timeout: .seconds(20))
        #expect(report.deferred == 0 && report.executed == 0, "nobody is there")
      }
    }

    @Test func aBatchMakesItsRoundsOnce() throws {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
      let patcher = try TextPatcher(coordinator: machine.coordinator, capacity: 100)
      let sites = try (0..<100).map { index in
        try patcher.makeSite("site \(index)", original: Functions.original)
      }
      _ = machine[1].run { sites[0](on: $0, 1, 1) }
      machine[1].enterUser()
      let report = try patcher.patch(
        sites.reversed().map { ($0, .jump(to: Functions.replacement)) }, timeout: .seconds(20))
      #expect(report.sites == 100 && report.deferred == NativeCode.phases.count)
      machine[1].enterKernel()
      let sums = machine[1].run { cpu in sites.map { $0(on: cpu, 1, 1) } }
      #expect(sums == Array(repeating: 1_001, count: 100))

      // What is so already is left alone.
      machine[1].enterUser()
      let half = try patcher.patch(
        sites.enumerated().map { index, site in
          (site, index % 2 == 0 ? .nop : .jump(to: Functions.replacement))
        })
      #expect(half.sites == 50 && half.unchanged == 50)
      let none = try patcher.patch(sites.prefix(2).map { ($0, .nop) }.dropLast(1))
      #expect(
        none
          == {
            var report = PatchReport(); report.unchanged = 1; return report
          }())
      #expect(try patcher.patch([]) == PatchReport())
      machine[1].enterKernel()
      let again = machine[1].run { cpu in sites.map { $0(on: cpu, 1, 1) } }
      #expect(again == (0..<100).map { $0 % 2 == 0 ? 2 : 1_001 })
    }

    @Test func moreSitesThanThereIsRoomForAreRefused() throws {
      let patcher = try TextPatcher(coordinator: try Coordinator.quiet(), capacity: 2)
      for index in 0..<2 { _ = try patcher.makeSite("\(index)", original: Functions.original) }
      do {
        _ = try patcher.makeSite("third", original: Functions.original)
        Issue.record("a third site of two was made")
      } catch {
        #expect(error.code == .tooManyPatchSites)
        #expect("\(error)" == "third would be patch site 3 of 2")
      }
    }

    /// A site may be patched by the function that it runs, on the CPU that runs it.
    @Test func aHookPatchesItsOwnSite() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      Recursion.patcher.withLock { $0 = (patcher, site) }
      defer { Recursion.patcher.withLock { $0 = nil } }
      try patcher.patch(site, to: .call(Recursion.hook))
      let cpu = try coordinator.attach(to: 0)
      #expect(site(on: cpu, 1, 1) == 2, "the hook's caller goes on where it was")
      #expect(Recursion.reports.withLock { $0.count } == 1)
      #expect(site(on: cpu, 1, 1) == 1_001)
      cpu.detach()
    }

    private enum Recursion {
      static let patcher = Mutex<(TextPatcher, PatchSite)?>(nil)
      static let reports = Mutex<[PatchReport]>([])
      static let hook: PatchFunction = { _, _ in
        guard let (patcher, site) = Recursion.patcher.withLock({ $0 }) else { return 0 }
        if let report = try? patcher.patch(site, to: .jump(to: Functions.replacement)) {
          Recursion.reports.withLock { $0.append(report) }
        }
        return 0
      }
    }

    @Test func aReportReads() {
      var report = PatchReport()
      report.sites = 1
      report.rounds = 3
      report.deferred = 2
      report.executed = 1
      report.traps = 4
      #expect(
        "\(report)" == "1 site in 3 rounds; synchronized: 2 deferred, 1 executed; 4 traps")
    }
  }
}

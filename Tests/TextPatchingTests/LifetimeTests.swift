// SPDX-License-Identifier: Apache-2.0

import CForks
import CPUIsolation
import CPUIsolationTesting
import Glibc
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// What outlives what.
  @Suite struct Lifetimes {
    /// A site that somebody holds may be called, whatever has become of its patcher.
    @Test func sitesOutliveTheirPatcher() throws {
      let coordinator = try Coordinator.quiet()
      let cpu = try coordinator.attach(to: 1)
      let site: PatchSite
      do {
        let patcher = try TextPatcher(coordinator: coordinator)
        site = try patcher.makeSite("site", original: Functions.original)
        try patcher.patch(site, to: .jump(to: Functions.replacement))
      }
      #expect(site(on: cpu, 1, 1) == 1_001)
      cpu.detach()
    }

    @Test func closingEndsPatchingAndNothingElse() throws {
      let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
      let patcher = try TextPatcher(coordinator: machine.coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      #expect(machine[1].run { site(on: $0, 1, 1) } == 2)
      machine[1].enterUser()
      try patcher.patch(site, to: .jump(to: Functions.replacement), timeout: .seconds(20))
      #expect(machine.isPending(patcher.work, on: 1))
      machine[0].enterUser()
      #expect(patcher.close(timeout: .seconds(20)) == .settled)
      // The synchronization was withdrawn: so the CPU has to ask again, and synchronizes then.
      #expect(!machine.isPending(patcher.work, on: 1))
      #expect(unsafe site.memory.admission(of: 1).pointee.load(ordering: .relaxed) == 0)
      machine[1].enterKernel()
      #expect(machine[1].run { site(on: $0, 1, 1) } == 1_001)
      #expect(unsafe site.memory.admission(of: 1).pointee.load(ordering: .relaxed) != 0)

      func code(_ action: () throws(IsolationError) -> Void) -> IsolationError.Code? {
        do throws(IsolationError) {
          try action()
          return nil
        } catch {
          return error.code
        }
      }
      #expect(
        code { () throws(IsolationError) in try patcher.patch(site, to: .nop) } == .closed)
      #expect(
        code { () throws(IsolationError) in
          _ = try patcher.makeSite("late", original: Functions.original)
        } == .closed)
      #expect(patcher.close() == .settled)
      #expect(Array(site.memory.bytes(of: 0)[..<5]) != [0xcc] + NativeCode.nop.dropFirst())
      machine[0].enterKernel()
    }

    /// The coordinator is closed while a patch waits: the patch says so, its site works.
    @Test func theCoordinatorIsClosedMeanwhile() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      let isIn = Flag()
      let isClosing = Flag()
      let thread = try coordinator.launch(on: 1) { local in
        _ = site(on: local, 1, 1)
        isIn.raise()
        while !isClosing.isRaised { usleep(50) }
        #expect(site(on: local, 1, 1) == 1_001)
      }
      #expect(eventually { isIn.isRaised })
      let patch = TestThread {
        do throws(IsolationError) {
          try patcher.patch(site, to: .jump(to: Functions.replacement))
          Issue.record("the CPU never passed a safe point")
        } catch {
          #expect(error.code == .closed)
        }
      }
      #expect(eventually { coordinator.statistics()[patcher.work, on: 1].sent > 0 })
      coordinator.close(timeout: .zero)
      patch.join()
      isClosing.raise()
      thread.join()
      do throws(IsolationError) {
        try patcher.patch(site, to: .nop)
        Issue.record("a closed coordinator patches")
      } catch {
        #expect(error.code == .closed)
      }
    }

    /// The child of a fork has neither the text nor its CPUs.
    @Test func aForkLeavesTheTextBehind() async throws {
      await #expect(processExitsWith: .exitCode(9)) {
        try onThisThread {
          let coordinator = try Coordinator.quiet()
          let patcher = try TextPatcher(coordinator: coordinator)
          let site = try patcher.makeSite("site", original: Functions.original)
          let cpu = try coordinator.attach(to: 1)
          guard site(on: cpu, 1, 1) == 2 else { _exit(1) }
          func status(_ body: () -> Never) -> Int32 {
            let child = cfk_fork()
            if child == 0 { body() }
            return cfk_end(child, 120)
          }
          // Patching is refused there, and changes nothing here.
          let refused = status {
            do throws(IsolationError) {
              try patcher.patch(site, to: .jump(to: Functions.replacement))
              _exit(1)
            } catch {
              guard error.code == .forked else { _exit(2) }
            }
            do throws(IsolationError) {
              _ = try TextPatcher(coordinator: coordinator)
              _exit(3)
            } catch {
              _exit(error.code == .forked ? 5 : 4)
            }
          }
          guard refused == 5 << 8, site(on: cpu, 1, 1) == 2 else { _exit(2) }
          // A call there ends that process, with a sentence and not by executing what is not there.
          let called = status {
            _ = site(on: cpu, 1, 1)
            _exit(0)
          }
          guard called > 0, called & 0x7f != 0, called & 0x7f != SIGSEGV else { _exit(3) }
          try patcher.patch(site, to: .jump(to: Functions.replacement))
          guard site(on: cpu, 1, 1) == 1_001 else { _exit(4) }
          _exit(9)
        }
      }
    }

    /// Patchers come and go: their memory goes with them.
    @Test func patchersComeAndGo() throws {
      let coordinator = try Coordinator.quiet()
      let cpu = try coordinator.attach(to: 1)
      for round in 0..<WorkType.capacity * 2 {
        let patcher = try TextPatcher(coordinator: coordinator, capacity: 300)
        let site = try patcher.makeSite("site", original: Functions.original)
        cpu.enterUser()
        try patcher.patch(site, to: .jump(to: Functions.replacement))
        cpu.enterKernel()
        #expect(site(on: cpu, round, 1) == round * 1_000 + 1)
        cpu.enterUser()
        #expect(patcher.close(timeout: .seconds(20)) == .settled)
        cpu.enterKernel()
      }
      cpu.detach()
    }
  }
}

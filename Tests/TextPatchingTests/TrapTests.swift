// SPDX-License-Identifier: Apache-2.0

#if arch(x86_64)
  import CPUIsolation
  import CPUIsolationTextPatching
  import CRefusals
  import Glibc
  import Synchronization
  import Testing

  extension TextPatchingTests {
    /// The handler of SIGTRAP belongs to the process: what is not ours goes where it went before.
    @Suite struct Traps {
      /// A patcher that has patched, so that its handler is there and its sites are known.
      private static func makePatcher() throws -> (TextPatcher, PatchSite) {
        let patcher = try TextPatcher(coordinator: try Coordinator.quiet())
        let site = try patcher.makeSite("site", original: Functions.original)
        try patcher.patch(site, to: .jump(to: Functions.replacement))
        return (patcher, site)
      }

      @Test func aForeignBreakpointEndsTheProcess() async {
        await #expect(processExitsWith: .signal(SIGTRAP)) {
          let patcher = try Self.makePatcher()
          crf_meet_breakpoint()
          _exit(withExtendedLifetime(patcher) { 3 })
        }
      }

      @Test func aSentSignalEndsTheProcess() async {
        await #expect(processExitsWith: .signal(SIGTRAP)) {
          let patcher = try Self.makePatcher()
          raise(SIGTRAP)
          _exit(withExtendedLifetime(patcher) { 3 })
        }
      }

      @Test func anIgnoredSignalStaysIgnored() async {
        await #expect(processExitsWith: .exitCode(7)) {
          signal(SIGTRAP, SIG_IGN)
          let patcher = try Self.makePatcher()
          raise(SIGTRAP)
          _exit(withExtendedLifetime(patcher) { 7 })
        }
      }

      /// Not even a process that ignores the signal survives a breakpoint: as without us.
      @Test func aBreakpointIsNotIgnored() async {
        await #expect(processExitsWith: .signal(SIGTRAP)) {
          signal(SIGTRAP, SIG_IGN)
          let patcher = try Self.makePatcher()
          crf_meet_breakpoint()
          _exit(withExtendedLifetime(patcher) { 3 })
        }
      }

      @Test func anEarlierHandlerIsCalled() async {
        await #expect(processExitsWith: .exitCode(9)) {
          try onThisThread {
            signal(SIGTRAP) { number in
              Seen.traps.wrappingAdd(Int(number), ordering: .relaxed)
              errno = ENOENT
            }
            let (patcher, site) = try Self.makePatcher()
            errno = EEXIST
            crf_meet_breakpoint()
            let kept = errno == EEXIST
            raise(SIGTRAP)
            let cpu = try patcher.coordinator.attach(to: 1)
            let works = site(on: cpu, 1, 1) == 1_001
            let traps = Seen.traps.load(ordering: .relaxed)
            cpu.detach()
            _exit(kept && works && traps == 2 * Int(SIGTRAP) ? 9 : 1)
          }
        }
      }

      /// Nor do system calls end sooner: a handler that had them go on still has.
      @Test(arguments: [false, true])
      func systemCallsGoOn(isIgnored: Bool) async {
        await #expect(processExitsWith: .exitCode(9)) { [isIgnored] in
          var action = sigaction()
          action.sa_flags = isIgnored ? 0 : SA_RESTART
          unsafe action.__sigaction_handler.sa_handler =
            isIgnored ? SIG_IGN : { _ in Seen.traps.wrappingAdd(1, ordering: .relaxed) }
          unsafe sigaction(SIGTRAP, &action, nil)
          let patcher = try Self.makePatcher()
          var ends: [Int32] = [0, 0]
          guard unsafe pipe(&ends) == 0 else { _exit(2) }
          let (readEnd, reader) = (ends[0], pthread_self())
          let writeEnd = ends[1]
          // Some of the signals come while we sleep in the call.
          let thread = TestThread {
            for _ in 0..<50 {
              pthread_kill(reader, SIGTRAP)
              usleep(1_000)
            }
            _ = unsafe write(writeEnd, "x", 1)
          }
          var byte: UInt8 = 0
          let count = unsafe read(readEnd, &byte, 1)
          thread.join()
          let isCalled = Seen.traps.load(ordering: .relaxed) > 0
          _exit(withExtendedLifetime(patcher) { count == 1 && isCalled != isIgnored ? 9 : 1 })
        }
      }

      /// One that wants to know more is told the place.
      @Test func anEarlierHandlerSeesTheContext() async {
        await #expect(processExitsWith: .exitCode(9)) {
          var action = sigaction()
          unsafe action.__sigaction_handler.sa_sigaction = { _, information, context in
            guard let context = unsafe context, unsafe information!.pointee.si_signo == SIGTRAP
            else {
              return
            }
            let place = unsafe context.assumingMemoryBound(to: ucontext_t.self).pointee
              .uc_mcontext.gregs.16
            Seen.place.store(Int(place), ordering: .relaxed)
          }
          action.sa_flags = SA_SIGINFO
          unsafe sigaction(SIGTRAP, &action, nil)
          let patcher = try Self.makePatcher()
          crf_meet_breakpoint()
          let begin = unsafe Int(
            bitPattern: unsafeBitCast(
              crf_meet_breakpoint as @convention(c) () -> Void, to: UnsafeRawPointer.self))
          let place = Seen.place.load(ordering: .relaxed)
          _exit(withExtendedLifetime(patcher) { place > begin && place < begin + 64 ? 9 : 1 })
        }
      }

      /// Whoever puts another handler over ours is told by the next patch, before anything is
      /// changed.
      @Test func aHandlerOverOursIsNoticed() async {
        await #expect(processExitsWith: .exitCode(9)) {
          try onThisThread {
            let (patcher, site) = try Self.makePatcher()
            signal(SIGTRAP) { _ in }
            do {
              try patcher.patch(site, to: .nop)
            } catch let error as IsolationError where error.code == .signalTaken {
              let cpu = try patcher.coordinator.attach(to: 1)
              _exit(site(on: cpu, 1, 1) == 1_001 ? 9 : 2)
            }
            _exit(1)
          }
        }
      }

      /// An attachment that cannot patch what follows its point says so, and leaves nothing attached; and what
      /// could not follow at the beginning holds up nobody.
      @Test func anAttachmentThatCannotPatchIsUndone() async {
        await #expect(processExitsWith: .exitCode(9)) {
          try onThisThread {
            let registry = try ProbeRegistry(capacity: 4)
            let point = ProbePoint<(Int, Int)>("p", "a", "b", in: registry)
            let other = ProbePoint<(Int, Int)>("q", "a", "b", in: registry)
            let patcher = try TextPatcher(coordinator: try Coordinator.quiet())
            let site = try patcher.makeSite("site", original: Functions.original)
            try patcher.probe(site, as: point, in: registry, hook: Functions.hook)
            signal(SIGTRAP) { _ in }
            do throws(IsolationError) {
              try registry.attach(.count, to: "p")
              _exit(1)
            } catch {
              guard error.code == .signalTaken else { _exit(2) }
            }
            if point.isAttached || !registry.probes.isEmpty { _exit(3) }
            do throws(IsolationError) {
              try patcher.probe(site, as: other, in: registry, hook: Functions.hook)
              _exit(4)
            } catch {
              guard error.code == .signalTaken else { _exit(5) }
            }
            try registry.attach(.count, to: "q")
            _exit(other.isAttached ? 9 : 6)
          }
        }
      }

      /// A thread that inherited a mask of everything takes breakpoints all the same.
      @Test func aBlockedSignalIsUnblocked() throws {
        let coordinator = try Coordinator.quiet()
        let patcher = try TextPatcher(coordinator: coordinator)
        let site = try patcher.makeSite("site", original: Functions.original)
        let isIn = Flag()
        let mayGo = Flag()
        let thread = TestThread {
          var all = sigset_t()
          unsafe sigfillset(&all)
          unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
          do {
            let cpu = try coordinator.attach(to: 1)
            _ = site(on: cpu, 1, 1)
            isIn.raise()
            // Into the breakpoint, until the patch has come and is held up by us.
            var result = 2
            while result == 2 { result = site(on: cpu, 1, 1) }
            #expect(result == 1_001)
            mayGo.raise()
            cpu.detach()
          } catch {
            Issue.record("\(error)")
          }
        }
        #expect(eventually { isIn.isRaised })
        let report = try patcher.patch(
          site, to: .jump(to: Functions.replacement), timeout: .seconds(20))
        #expect(report.traps >= 1)
        thread.join()
        #expect(mayGo.isRaised)
      }
    }
  }

  private enum Seen {
    static let traps = Atomic<Int>(0)
    static let place = Atomic<Int>(0)
  }
#endif

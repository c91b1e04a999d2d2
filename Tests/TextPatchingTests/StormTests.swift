// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// Patches as fast as they go, against threads that call the sites as fast as they go.
  @Suite struct Storms {
    /// How long a storm blows.
    static var duration: Duration {
      let asked = unsafe getenv("CPUISOLATION_STRESS_SECONDS")
        .flatMap { unsafe Double(String(cString: $0)) }
      return .seconds(asked ?? 0.4)
    }

    /// What one thread patches and others check: a site, and which behaviours are legal now.
    ///
    /// A word says it: a version, the behaviour before, the behaviour after. While they are equal,
    /// nothing else is legal; while they differ, a patch is under way.
    private final class Subject: Sendable {
      let site: PatchSite
      let legal = Atomic<UInt64>(0)
      let hooks = Atomic<Int>(0)

      init(_ site: PatchSite) { self.site = site }

      static let instructions: [PatchSite.Instruction] = [
        .nop, .jump(to: Functions.replacement), .call(CountingHook.run), .jump(to: Functions.other),
      ]

      /// What a call shows: the result, and whether the hook ran.
      static func behaviour(_ result: Int, hooked: Bool, _ second: Int) -> UInt64? {
        switch (result, hooked) {
        case (second + 2, false): 0
        case (2_000 + second, false): 1
        case (second + 2, true): 2
        case (2_000_000 + second, false): 3
        default: nil
        }
      }

      func patch(_ patcher: TextPatcher, to next: UInt64) throws -> PatchReport {
        let word = legal.load(ordering: .relaxed)
        let now = word & 0xff
        let version = word >> 16
        legal.store((version + 1) << 16 | now << 8 | next, ordering: .sequentiallyConsistent)
        let report = try patcher.patch(site, to: Self.instructions[Int(next)])
        legal.store((version + 2) << 16 | next << 8 | next, ordering: .sequentiallyConsistent)
        return report
      }
    }

    private struct Counts {
      var calls = 0, exact = 0, under = 0, illegal = 0
    }

    /// One call, in kernel, judged by what was legal while it went on.
    private static func check(
      _ subject: Subject, on cpu: borrowing LocalCPU, _ second: Int, _ counts: inout Counts
    ) {
      let before = subject.legal.load(ordering: .sequentiallyConsistent)
      let runs = CountingHook.runs(of: cpu.number)
      let result = subject.site(on: cpu, 2, second << 8 | cpu.number)
      let hooked = CountingHook.runs(of: cpu.number) != runs
      let after = subject.legal.load(ordering: .sequentiallyConsistent)
      counts.calls += 1
      guard let seen = Subject.behaviour(result, hooked: hooked, second << 8 | cpu.number) else {
        counts.illegal += 1
        return
      }
      let allowed = [before & 0xff, before >> 8 & 0xff, after & 0xff, after >> 8 & 0xff]
      // More than one patch in between: anything that was legal meanwhile, which is not known here.
      if after >> 16 > before >> 16 + 2 { return }
      if allowed.contains(seen) {
        if before == after, before & 0xff == before >> 8 & 0xff {
          counts.exact += 1
        } else {
          counts.under += 1
        }
      } else {
        counts.illegal += 1
      }
    }

    /// CPUs that enter and leave kernel round each few calls: each call has a result that was legal
    /// at that moment, no trap is anybody else's, and no CPU is interrupted.
    @Test(arguments: [1, 3])
    func callsAreLegal(callers: Int) throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let subjects = try (0..<3).map { index in
        Subject(try patcher.makeSite("site \(index)", original: Functions.original))
      }
      let stop = Flag()
      let sums = Mutex<[Counts]>([])
      let threads = try (1...callers).map { cpu in
        try coordinator.launch(on: cpu) { local in
          var counts = Counts()
          var round = 0
          while !stop.isRaised {
            local.inUser {
              // The hot loop: sometimes long enough for a patch to come and go.
              if round % 64 == 0 { usleep(100) }
            }
            for call in 0..<8 {
              Self.check(subjects[(round + call) % subjects.count], on: local, call, &counts)
            }
            round += 1
          }
          sums.withLock { $0.append(counts) }
        }
      }
      var total = PatchReport()
      var patches = 0
      let begin = ContinuousClock.now
      while ContinuousClock.now - begin < Self.duration || patches <= 10
        || total.deferred + total.executed == 0
      {
        let subject = subjects[patches % subjects.count]
        let now = subject.legal.load(ordering: .relaxed) & 0xff
        let report = try subject.patch(patcher, to: (now + 1 + UInt64(patches / 3 % 3)) % 4)
        #expect(report.sites == 1)
        total.traps += report.traps
        total.deferred += report.deferred
        total.executed += report.executed
        patches += 1
      }
      let elapsed = (ContinuousClock.now - begin) / .seconds(1)
      stop.raise()
      for thread in threads { thread.join() }
      let all = sums.withLock { $0 }.reduce(into: Counts()) { sum, counts in
        sum.calls += counts.calls
        sum.exact += counts.exact
        sum.under += counts.under
        sum.illegal += counts.illegal
      }
      #expect(all.illegal == 0)
      #expect(all.exact > 0 && patches > 10 && total.deferred + total.executed > 0)
      let statistics = coordinator.statistics()
      for cpu in 1...callers {
        #expect(statistics[patcher.work, on: cpu].interrupted == 0)
      }
      print(
        "storm of \(callers): \(Int(Double(patches) / elapsed)) patches/s, \(total.traps) traps,",
        "\(total.deferred) deferred, \(total.executed) executed, \(all.calls) calls,",
        "\(all.exact) exact, \(all.under) during a patch, \(all.illegal) illegal")
    }

    /// Several threads, one of them a CPU of the same coordinator, patch at each other.
    @Test func manyPatch() throws {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("site", original: Functions.original)
      let stop = Flag()
      let illegal = Atomic<Int>(0)
      let patches = Atomic<Int>(0)
      let caller = try coordinator.launch(on: 1) { local in
        while !stop.isRaised {
          let result = site(on: local, 2, 3)
          if ![5, 2_003, 2_000_003].contains(result) {
            illegal.wrappingAdd(1, ordering: .relaxed)
          }
          local.safePoint()
        }
      }
      @Sendable func storm(_ seed: Int) {
        for round in 0..<200 where !stop.isRaised {
          let instructions: [PatchSite.Instruction] = [
            .nop, .jump(to: Functions.replacement), .jump(to: Functions.other),
          ]
          do {
            try patcher.patch(site, to: instructions[(round + seed) % 3], timeout: .seconds(30))
            patches.wrappingAdd(1, ordering: .relaxed)
          } catch {
            Issue.record("\(error)")
          }
        }
      }
      let cpu = try coordinator.launch(on: 2) { local in
        // Also from inside a section in which it calls the site itself.
        for round in 0..<200 {
          local.inKernel {
            _ = site(on: local, 1, 1)
            _ = try? patcher.patch(site, to: round % 2 == 0 ? .nop : .call(CountingHook.run))
          }
        }
      }
      let plain = (0..<3).map { seed in TestThread { storm(seed) } }
      for thread in plain { thread.join() }
      cpu.join()
      stop.raise()
      caller.join()
      #expect(illegal.load(ordering: .relaxed) == 0)
      #expect(patches.load(ordering: .relaxed) == 600)
    }
  }
}

/// A hook that counts per CPU, whose number is in the lowest byte of its second argument.
private enum CountingHook {
  private static let one = Atomic<Int>(0)
  private static let two = Atomic<Int>(0)
  private static let three = Atomic<Int>(0)

  static func runs(of cpu: Int) -> Int {
    switch cpu {
    case 1: one.load(ordering: .relaxed)
    case 2: two.load(ordering: .relaxed)
    default: three.load(ordering: .relaxed)
    }
  }

  static let run: PatchFunction = { _, second in
    switch second & 0xff {
    case 1: one.wrappingAdd(1, ordering: .relaxed)
    case 2: two.wrappingAdd(1, ordering: .relaxed)
    default: three.wrappingAdd(1, ordering: .relaxed)
    }
    return -1
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// Sites that are probe points.
  @Suite struct Probing {
    private static let routed = ProbePoint<(Int, Int)>("patched.route", "table", "destination")
    private static let swapped = ProbePoint<(Int, Int)>("patched.swap", "table", "destination")

    private static let hitRouted: PatchFunction = { table, destination in
      Probing.routed.hit(table, destination)
      return 0
    }
    private static let hitSwapped: PatchFunction = { table, destination in
      Probing.swapped.hit(table, destination)
      return 0
    }

    private func isNop(_ site: PatchSite, of patcher: TextPatcher) -> Bool {
      patcher.state.withLock { $0.sites[site.index].code } == NativeCode.nop
    }

    @Test("a site is a nop until something is attached to its point, and again after")
    func follows() throws {
      let registry = ProbeRegistry.shared
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      let site = try patcher.makeSite("route", original: Functions.original)
      let early = try {
        _ = Self.routed
        return try registry.attach(.count, to: "patched.route")
      }()
      try patcher.probe(site, as: Self.routed, hook: Self.hitRouted)
      #expect(!isNop(site, of: patcher), "what was attached before counts")
      registry.remove([early])
      #expect(isNop(site, of: patcher))

      let cpu = try coordinator.attach(to: 0)
      #expect(site(on: cpu, 3, 4) == 7)
      let probe = try registry.attach(
        .values(of: "destination"), to: "patched.route", filter: "table == 3")
      #expect(!isNop(site, of: patcher))
      for _ in 0..<5 { #expect(site(on: cpu, 3, 4) == 7) }
      #expect(site(on: cpu, 2, 4) == 6)
      #expect(probe.hits == 5 && probe.filtered == 1)
      registry.setEnabled([probe], false)
      #expect(isNop(site, of: patcher))
      #expect(site(on: cpu, 3, 4) == 7)
      registry.setEnabled([probe], true)
      #expect(site(on: cpu, 3, 4) == 7)
      registry.remove([probe])
      #expect(isNop(site, of: patcher))
      #expect(probe.hits == 6)
      cpu.detach()

      // A patcher that is closed leaves its site as it is, and the point goes on.
      #expect(patcher.close(timeout: .seconds(120)) == .settled)
      let late = try registry.attach(.count, to: "patched.route")
      Self.routed.hit(1, 1)
      #expect(late.hits == 1 && isNop(site, of: patcher))
      registry.remove([late])
    }

    @Test("threads that attach and remove at once leave the site as the point is")
    func followsMany() throws {
      let registry = ProbeRegistry.shared
      let patcher = try TextPatcher(coordinator: try Coordinator.quiet())
      let site = try patcher.makeSite("swap", original: Functions.original)
      try patcher.probe(site, as: Self.swapped, hook: Self.hitSwapped)
      for round in 0..<10 {
        let threads = (0..<3).map { number in
          TestThread {
            var last: ProbeRegistry.Probe? = nil
            for _ in 0..<10 {
              if let last { registry.remove([last]) }
              last = try? registry.attach(.count, to: "patched.swap")
            }
            if let last, number > 0 || round % 2 == 0 { registry.remove([last]) }
          }
        }
        for thread in threads { thread.join() }
        #expect(isNop(site, of: patcher) == (round % 2 == 0))
        #expect(Self.swapped.isAttached == (round % 2 == 1))
        registry.remove(registry.probes.filter { $0.point == "patched.swap" })
        #expect(isNop(site, of: patcher))
      }
    }
  }
}

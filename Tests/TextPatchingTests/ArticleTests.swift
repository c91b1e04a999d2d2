// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTextPatching
import Testing

extension TextPatchingTests {
  /// What Documentation/TextPatching.md shows: every piece of Swift on the page stands here, line
  /// by line.
  @Suite struct Article {
    @Test func aSiteIsMadeCalledAndPatched() throws {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let cpu = try coordinator.attach(to: 1)
      let shortestPath: PatchFunction = { table, destination in table + destination }
      let leastLoaded: PatchFunction = { table, destination in table * destination }
      let (table, destination) = (40, 2)

      let patcher = try TextPatcher(coordinator: coordinator)
      let route = try patcher.makeSite("route", original: shortestPath)
      // on a CPU, in kernel:
      let hop = route(on: cpu, table, destination)
      // on a housekeeper:
      try patcher.patch(route, to: .jump(to: leastLoaded))

      #expect(hop == 42)
      #expect(route(on: cpu, table, destination) == 80)
      cpu.detach()
    }

    private enum Patched {
      static let routed = ProbePoint<(Int, Int)>("patched.routed", "table", "destination")
    }

    @Test func aSiteIsAProbePoint() throws {
      let registry = ProbeRegistry.shared
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      let cpu = try coordinator.attach(to: 1)
      let shortestPath: PatchFunction = { table, destination in table + destination }

      let patcher = try TextPatcher(coordinator: coordinator)
      let route = try patcher.makeSite("route", original: shortestPath)
      try patcher.probe(route, as: Patched.routed) { table, destination in
        Patched.routed.hit(table, destination)
        return 0
      }
      let distances = try registry.attach(.values(of: "destination"), to: "patched.routed")
      _ = route(on: cpu, 40, 2)

      #expect(distances.hits == 1)
      registry.remove([distances])
      cpu.detach()
    }
  }
}

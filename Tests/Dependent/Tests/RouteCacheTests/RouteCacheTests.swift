// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Testing

@testable import RouteCache

@Suite struct RouteCacheTests {
  @Test func aRouteReachesACPUThatEnters() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1, 2])
    let cache = try RouteCache(machine.coordinator)
    machine[1].enterUser()
    machine[2].enterUser()

    cache.add(destination: 10, via: 3)
    cache.add(destination: 10, via: 4)
    #expect(machine.pending(cache.refresh) == [1, 2])
    #expect(machine.statistics[cache.refresh].merged == 2)

    machine[2].enterKernel()
    #expect(machine.contexts == [0: .kernel, 1: .user, 2: .kernel])
    #expect(machine.pending(cache.refresh) == [1])
    #expect(machine[2].run { cpu in cache.hop(for: 10, on: cpu.number) } == 4)
    #expect(machine.executed(cache.refresh, on: 2) == 1)
  }

  @Test func theClockIsTheTests() throws {
    let machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    let cache = try RouteCache(machine.coordinator)
    machine[1].enterUser()
    cache.add(destination: 10, via: 3)
    machine.advance(by: .seconds(3_600))
    #expect(machine.statistics[cache.refresh].oldestPending == .seconds(3_600))
    #expect(machine.stalls.isEmpty)  // whoever is in user may stay there

    machine.coordinator.send(cache.refresh, to: 1, urgency: .immediate)
    machine.advance(by: .seconds(6))
    #expect(machine.stalls.first?.kind == .kickUnanswered)
    machine[1].poll()
    #expect(machine.executed(cache.refresh, on: 1) == 1)
  }

  @Test func theHandlerConforms() throws {
    let report = try HandlerConformance.check("routes", .nonAllocating) { coordinator in
      let cache = try RouteCache(coordinator)
      return HandlerSubject(
        cache.refresh,
        publish: { step in cache.add(destination: UInt32(step), via: 7) },
        state: { cpu in cache.routes(on: cpu) },
        whilePublishing: { body in cache.whilePublishing(body) })
    }
    #expect(report.isConforming, "\(report)")
    #expect(report.unchecked == [], "\(report)")
    print(report)
  }
}

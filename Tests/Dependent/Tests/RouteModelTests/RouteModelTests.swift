// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  import CPUIsolation
  import CPUIsolationTesting
  import Testing

  @testable import RouteCache

  /// `swift test --traits ModelChecking --filter RouteModelTests`
  @Suite struct RouteModelTests {
    @Test(arguments: [ModelTest.Memory.totalStoreOrder, .weak])
    func whatIsCountedIsThere(_ memory: ModelTest.Memory) {
      let outcome = ModelTest.explore(memory, preemptions: 4) { run in
        let log = RouteLog()
        run.body { for route in 1...3 { _ = log.append(UInt64(route)) } }
        run.body {
          var known: [UInt64] = []
          for _ in 0..<2 { log.read(from: known.count) { known.append($0) } }
          run.expect(known == Array(1...3).prefix(known.count).map(UInt64.init), "read \(known)")
        }
      }
      #expect(outcome.holds, "\(outcome)")
      print("routes [\(memory)]: \(outcome)")
    }

    /// The library's own send and entry, and this package's handler, under the same schedules.
    @Test(arguments: [ModelTest.Memory.totalStoreOrder, .weak])
    func aDeferredRouteIsThereBehindTheEntry(_ memory: ModelTest.Memory) {
      let outcome = ModelTest.explore(memory, preemptions: 3) { run in
        let coordinator = try run.makeCoordinator(housekeeping: [], isolated: [0])
        let (log, copy) = (RouteLog(), RouteCopy())
        let refresh = try coordinator.register("routes") { _ in copy.catchUp(with: log) }
        var promised: [UInt64] = []
        run.body {
          for route: UInt64 in [7, 8] {
            _ = log.append(route)
            if coordinator.send(refresh, to: 0) == .deferred { promised.append(route) }
          }
        }
        run.body(on: 0, in: .user) { cpu in
          for _ in 0..<2 {
            cpu.enterKernel()
            run.expect(promised.allSatisfy(copy.routes.contains), "entered, and a route is missing")
            cpu.enterUser()
          }
        }
      }
      #expect(outcome.holds, "\(outcome)")
      print("coordinator [\(memory)]: \(outcome)")
    }

    /// A publisher that sends before it has published is found.
    @Test func aSendThatComesTooEarlyIsFound() {
      let outcome = ModelTest.explore(.totalStoreOrder, preemptions: 1) { run in
        let coordinator = try run.makeCoordinator(housekeeping: [], isolated: [0])
        let (log, copy) = (RouteLog(), RouteCopy())
        let refresh = try coordinator.register("routes") { _ in copy.catchUp(with: log) }
        run.body {
          coordinator.send(refresh, to: 0)
          _ = log.append(7)
        }
        run.body(on: 0, in: .user) { cpu in cpu.enterKernel() }
        run.atEnd {
          let isPending = coordinator.statistics()[refresh].pending != 0
          run.expect(isPending || copy.routes.contains(7), "nobody will ever fetch the route")
        }
      }
      #expect(outcome.failure == "nobody will ever fetch the route", "\(outcome)")
    }

    /// A log that publishes its count too weakly is found, and the schedule replays.
    @Test func aLogWithoutReleaseIsFound() throws {
      func explore(replaying schedule: String? = nil) -> ModelOutcome {
        ModelTest.explore(.weak, preemptions: 2, replaying: schedule) { run in
          let route = ModelAtomic<UInt64>(0)
          let count = ModelAtomic<UInt64>(0)
          run.body {
            route.store(7, ordering: .relaxed)
            count.store(1, ordering: .relaxed)
          }
          run.body {
            if count.load(ordering: .acquiring) == 1 {
              run.expect(route.load(ordering: .relaxed) == 7, "counted, and not there")
            }
          }
        }
      }
      let outcome = explore()
      #expect(!outcome.holds && outcome.failure == "counted, and not there", "\(outcome)")
      let schedule = try #require(outcome.schedule)
      let replay = explore(replaying: schedule)
      #expect(replay.failure == outcome.failure && replay.executions == 1)
      #expect(!replay.trace.isEmpty)
      print(outcome)
    }
  }
#endif

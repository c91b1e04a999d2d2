import CPUIsolation
import Synchronization
import Testing

@Suite struct SmokeTests {
  @Test func deferral() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let runs = Counter(), stage = Counter()
    let work = try coordinator.register("w") { cpu in runs.value.wrappingAdd(1, ordering: .relaxed) }
    #expect(coordinator.send(work, to: 1) == .gone)
    let thread = try coordinator.launch(on: 1) { cpu in
      cpu.user {
        stage.value.store(1, ordering: .releasing)
        while stage.value.load(ordering: .acquiring) != 2 { cpu.poll() }
      }
      stage.value.store(3, ordering: .releasing)
      while stage.value.load(ordering: .acquiring) != 4 { cpu.safePoint() }
    }
    while stage.value.load(ordering: .acquiring) != 1 {}
    #expect(coordinator.send(work, to: 1) == .deferred)
    #expect(coordinator.send(work, to: 1) == .merged)
    #expect(coordinator.send(work, to: coordinator.isolated).merged == [1])
    #expect(runs.value.load(ordering: .relaxed) == 0)
    let report = coordinator.call(on: [1], deadline: .seconds(5)) { _ in }
    #expect(report.executed == [1])
    #expect(runs.value.load(ordering: .relaxed) == 1)
    #expect(coordinator.send(work, to: 1) == .deferred)
    stage.value.store(2, ordering: .releasing)
    while stage.value.load(ordering: .acquiring) != 3 {}
    #expect(runs.value.load(ordering: .relaxed) == 2)
    let t = coordinator.sendWithTicket(work, to: [1])
    #expect(t.wait(until: .executed, deadline: .seconds(5)) == .settled)
    stage.value.store(4, ordering: .releasing)
    thread.join()
    let s = coordinator.statistics()[work]
    #expect(s.sent == s.executed + s.merged + s.pending + s.gone)
    print(s, coordinator.statistics()[cpu: 1])
    _ = coordinator.close(deadline: .seconds(1))
    #expect(coordinator.send(work, to: 1) == .rejected(.closed))
  }
}

final class Counter: Sendable { let value = Atomic<Int>(0) }

import CPUIsolationTesting
import Routes
import Testing

@Suite struct RouterTests {
  let machine: ScriptedMachine
  let router: Router

  init() throws {
    machine = try ScriptedMachine(housekeeping: [0], isolated: [1])
    router = try Router(machine.coordinator)
    router.change("example.org", to: 1)
  }

  func route() -> Int? {
    machine[1].run { [router] _ in router.route(to: "example.org", on: 1) }
  }

  @Test func aBusyCPUFindsTheNewRouteWhenItIsBack() {
    #expect(route() == 1)
    machine[1].enterUser()
    #expect(router.change("example.org", to: 2)[.deferred].contains(1))
    machine[1].enterKernel()
    #expect(route() == 2)
  }
}

import CPUIsolation
import Routes
import Synchronization

final class Flag: Sendable {
  private let word = Atomic(false)
  func raise() { word.store(true, ordering: .releasing) }
  var isRaised: Bool { word.load(ordering: .acquiring) }
}

@main
struct Server {
  static func main() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let router = try Router(coordinator)
    router.change("example.org", to: 1)

    let isBusy = Flag()
    let stop = Flag()
    let thread = try coordinator.launch(on: 1) { cpu in
      print("before:", router.route(to: "example.org", on: 1)!)
      cpu.inUser {
        isBusy.raise()
        while !stop.isRaised { cpu.poll() }
      }
      print("after:", router.route(to: "example.org", on: 1)!)
    }

    while !isBusy.isRaised {}
    stop.raise()
    thread.join()
  }
}

import CPUIsolation
import Routes
import Synchronization

@main
struct Server {
  static func main() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let router = try Router(coordinator)
    router.change("example.org", to: 1)
  }
}

import CPUIsolation
import Synchronization

/// What one CPU has looked up. Only the CPU's own thread touches it.
final class Cache: @unchecked Sendable {
  var routes: [String: Int] = [:]
}

/// Routes that any thread may change, and that each CPU caches.
public final class Router: Sendable {
  private let table = Mutex<[String: Int]>([:])
  private let caches: [Cache]
  private let coordinator: Coordinator
  public let refresh: WorkType

  public init(_ coordinator: Coordinator) throws {
    let caches = (0...coordinator.cpus.last!).map { _ in Cache() }
    self.caches = caches
    self.coordinator = coordinator
    refresh = try coordinator.register("refresh") { cpu in
      caches[cpu].routes.removeAll()
    }
  }

  /// The route to a host. The caller is the thread of the CPU.
  public func route(to host: String, on cpu: Int) -> Int? {
    if let route = caches[cpu].routes[host] { return route }
    let route = table.withLock { $0[host] }
    caches[cpu].routes[host] = route
    return route
  }

  @discardableResult
  public func change(_ host: String, to route: Int) -> Report<SendOutcome> {
    table.withLock { $0[host] = route }
    return coordinator.send(refresh, to: coordinator.cpus)
  }
}

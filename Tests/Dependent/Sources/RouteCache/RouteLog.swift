// SPDX-License-Identifier: Apache-2.0

/// Routes in the order in which they were added: one thread appends, any reads what is there.
///
/// A reader takes the count before the routes, a publisher writes the route before the count: the
/// release of the one and the acquire of the other are all there is to it.
final class RouteLog: Sendable {
  static let capacity = 64

  private nonisolated(unsafe) let routes: UnsafeMutablePointer<RouteWord>
  private let count = RouteWord(0)

  init() {
    routes = .allocate(capacity: Self.capacity)
    for index in 0..<Self.capacity { (routes + index).initialize(to: RouteWord(0)) }
  }

  deinit {
    routes.deinitialize(count: Self.capacity)
    routes.deallocate()
  }

  /// Appends a route, which is not 0; false if the log is full. One thread at a time.
  func append(_ route: UInt64) -> Bool {
    let index = count.load(ordering: .relaxed)
    if index == Self.capacity { return false }
    routes[Int(index)].store(route, ordering: .relaxed)
    count.store(index + 1, ordering: .releasing)
    return true
  }

  /// Reads what was appended after the first `known` routes.
  func read(from known: Int, _ body: (UInt64) -> Void) {
    let end = Int(count.load(ordering: .acquiring))
    for index in known..<max(known, end) { body(routes[index].load(ordering: .relaxed)) }
  }
}

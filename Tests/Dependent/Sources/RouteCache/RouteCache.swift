// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
import Synchronization

/// A routing table that isolated CPUs look at without lock or atomic: each has a copy of its own,
/// and a change reaches it when it next enters kernel.
public final class RouteCache: Sendable {
  /// The work that brings a CPU's copy up to date.
  public let refresh: WorkType
  private let log: RouteLog
  private let copies: [RouteCopy]
  private let publishing = Mutex(())
  private let coordinator: @Sendable () -> Coordinator?

  public init(_ coordinator: Coordinator) throws(IsolationError) {
    let log = RouteLog()
    let copies = (0...(coordinator.cpus.last ?? 0)).map { _ in RouteCopy() }
    self.log = log
    self.copies = copies
    // The coordinator keeps the handler, and with it all this: it must not be kept in turn.
    self.coordinator = { [weak coordinator] in coordinator }
    refresh = try coordinator.register("routes") { cpu in copies[cpu].catchUp(with: log) }
  }

  /// Adds a route and lets every isolated CPU know; false if there is no room.
  @discardableResult
  public func add(destination: UInt32, via hop: UInt32) -> Bool {
    let fits = publishing.withLock { _ in log.append(UInt64(destination) << 32 | UInt64(hop)) }
    if fits, let coordinator = coordinator() {
      coordinator.send(refresh, to: coordinator.isolated)
    }
    return fits
  }

  /// Calls the body as if in the middle of a change.
  func whilePublishing(_ body: () -> Void) { publishing.withLock { _ in body() } }

  /// Where packets for a destination go, as the CPU knows it: on its thread, in kernel.
  public func hop(for destination: UInt32, on cpu: Int) -> UInt32? {
    copies[cpu].routes.last { $0 >> 32 == UInt64(destination) }.map {
      UInt32(truncatingIfNeeded: $0)
    }
  }

  /// All that the CPU knows.
  func routes(on cpu: Int) -> [UInt64] { Array(copies[cpu].routes) }
}

/// One CPU's copy of the log.
// Sendable: its CPU's thread alone, or whoever runs its handler in its place, looks into it.
final class RouteCopy: @unchecked Sendable {
  private let memory = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: RouteLog.capacity)
  private var count = 0

  deinit { memory.deallocate() }

  var routes: Slice<UnsafeMutableBufferPointer<UInt64>> { memory[..<count] }

  func catchUp(with log: RouteLog) {
    log.read(from: count) { route in
      memory.initializeElement(at: count, to: route)
      count += 1
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import NIOConcurrencyHelpers

/// A value that every loop has a copy of, and that is changed now and then: configuration, routes, a table.
///
///     let routes = try LoopLocal("routes", loops, Routes())
///     routes.update { $0.add(route) }  // from anywhere: no loop is woken
///     routes.value.target(of: request)  // on a loop: as new as at the first look of this tick
///
/// Reading takes no lock and counts no reference beside the value's own. A change costs its sender a copy and a few
/// nanoseconds per loop; a loop takes the new value when it next looks.
public final class LoopLocal<Value: Sendable>: Sendable {
  private let loops: IsolatedEventLoops
  private let newest: NIOLockedValueBox<Value>
  private let copies: Coordinator.PerCPU<Value>
  private let refresh: WorkType

  /// Gives each loop a copy. The name is that of the work type, in statistics and reports.
  public init(_ name: String, _ loops: IsolatedEventLoops, _ value: Value) throws {
    self.loops = loops
    let newest = NIOLockedValueBox(value)
    let copies = Coordinator.PerCPU(loops.coordinator) { _ in value }
    self.newest = newest
    self.copies = copies
    refresh = try loops.coordinator.register(name) { cpu in
      copies[cpu] = newest.withLockedValue { $0 }
    }
  }

  /// The calling loop's copy.
  public var value: Value {
    loops.enter()
    guard let cpu = loops.coordinator.currentCPU else { return newest.withLockedValue { $0 } }
    return copies[cpu]
  }

  /// Changes the value. A loop that calls this sees its own change at once, the others when they next look.
  public func update<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
    let result = newest.withLockedValue { body(&$0) }
    loops.coordinator.send(refresh, to: loops.cpus)
    if let own = loops.coordinator.currentHandle, !own.enterKernelIfNeeded() { own.safePoint() }
    return result
  }
}

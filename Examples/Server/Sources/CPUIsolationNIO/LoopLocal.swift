// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
import NIOConcurrencyHelpers

/// A value that every loop has a copy of, and that is changed now and then: configuration, routes, a table.
///
///     let routes = try LoopLocal("routes", loops, Routes())
///     routes.update { $0.add(route) }  // from anywhere: no loop is woken
///     routes.withValue { $0.target(of: request) }  // on a loop: as new as at the first look of this tick
///
/// Reading takes no lock, and `withValue` counts no reference: a thread that is stopped in the middle of a
/// change stops no loop. A change costs its sender a copy and a few nanoseconds per loop; a loop takes the new value
/// when it next looks.
public final class LoopLocal<Value: Sendable>: Sendable {
  private let loops: IsolatedEventLoops
  @usableFromInline let coordinator: Coordinator
  private let newest: Newest<Value>
  @usableFromInline let copies: Coordinator.PerCPU<Value>
  private let refresh: WorkType

  /// Gives each loop a copy. The name is that of the work type, in statistics and reports.
  public init(_ name: String, _ loops: IsolatedEventLoops, _ value: Value) throws {
    self.loops = loops
    coordinator = loops.coordinator
    let newest = Newest(value)
    let copies = Coordinator.PerCPU(coordinator) { _ in value }
    self.newest = newest
    self.copies = copies
    refresh = try coordinator.register(name) { cpu in copies[cpu] = newest.value }
  }

  /// The calling loop's copy; elsewhere the newest value.
  @inlinable
  public var value: Value { withValue { $0 } }

  /// Lends the calling loop's copy, elsewhere the newest value: cheaper than ``value``, which counts the references
  /// in what it returns. The body must not ask for this value again.
  @inlinable @inline(__always)
  public func withValue<Result, Failure: Error>(
    _ body: (borrowing Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if let result = try copies.withCurrent({ value throws(Failure) in try body(value) }) {
      return result
    }
    return try body(newestValue)
  }

  @usableFromInline
  var newestValue: Value { newest.value }

  /// Changes the value. A loop that calls this sees its own change at once, the others when they next look.
  /// Threads that change it wait for each other.
  public func update<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
    let result = newest.update(body)
    coordinator.send(refresh, to: loops.cpus)
    if let own = coordinator.currentHandle, !own.enterKernelIfNeeded() { own.safePoint() }
    return result
  }
}

/// What the last change has left: changed under a lock, and read without one.
private final class Newest<Value: Sendable>: Sendable {
  private final class Version: Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private let changing = NIOLock()
  private let version: ProtectedReference<Version>

  init(_ value: Value) { version = ProtectedReference(Version(value)) }

  var value: Value { version.withObject { $0.value } }

  func update<Result>(_ body: (inout Value) -> Result) -> Result {
    changing.withLock {
      var value = value
      let result = body(&value)
      version.replace(with: Version(value))
      return result
    }
  }
}

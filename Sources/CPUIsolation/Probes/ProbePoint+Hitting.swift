// SPDX-License-Identifier: Apache-2.0

// One function for each number of arguments up to four: the compiler does not unroll a loop over a pack,
// and makes three calls through tables for each of its elements, which cost more than the rest of a hit.

extension ProbePoint {
  /// Runs what is attached to a point with two arguments.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit<First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable>(
    _ first: First, _ second: Second
  ) where Arguments == (First, Second) {
    if _slowPath(site.isAttached) {
      ProbeCore.hit(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second), 0, 0)
    }
  }

  /// Runs what is attached, and notes the beginning for what is attached to the return.
  ///
  ///     let activation = Router.lookUp.begin(key, length)
  ///     …
  ///     Router.lookUp.end(activation)
  ///
  /// Beginnings nest, and may end on another thread. Where a probe has as many activations going on
  /// as it may have, or the registry has no more, the probe misses this one, and counts it.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin<First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable>(
    _ first: First, _ second: Second
  ) -> Activation where Arguments == (First, Second) {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    return Activation(
      site,
      ProbeCore.begin(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second), 0, 0))
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  ///     let route = Router.lookUp.measure(key, length) { routes[key] }
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable, Result: ~Copyable,
    Failure: Error
  >(
    _ first: First, _ second: Second, during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result where Arguments == (First, Second) {
    try run(begin(first, second), body)
  }

  /// Runs what is attached to a point with three arguments.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable
  >(_ first: First, _ second: Second, _ third: Third) where Arguments == (First, Second, Third) {
    if _slowPath(site.isAttached) {
      ProbeCore.hit(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
        UInt64(truncatingIfNeeded: third), 0)
    }
  }

  /// Runs what is attached to a point with three arguments, and notes the beginning of a scope.
  ///
  /// As the other `begin`s.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable
  >(_ first: First, _ second: Second, _ third: Third) -> Activation
  where Arguments == (First, Second, Third) {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    return Activation(
      site,
      ProbeCore.begin(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
        UInt64(truncatingIfNeeded: third), 0))
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Result: ~Copyable, Failure: Error
  >(
    _ first: First, _ second: Second, _ third: Third, during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result where Arguments == (First, Second, Third) {
    try run(begin(first, second, third), body)
  }

  /// Runs what is attached to a point with four arguments.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable
  >(_ first: First, _ second: Second, _ third: Third, _ fourth: Fourth)
  where Arguments == (First, Second, Third, Fourth) {
    if _slowPath(site.isAttached) {
      ProbeCore.hit(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
        UInt64(truncatingIfNeeded: third), UInt64(truncatingIfNeeded: fourth))
    }
  }

  /// Runs what is attached to a point with four arguments, and notes the beginning of a scope.
  ///
  /// As the other `begin`s.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable
  >(_ first: First, _ second: Second, _ third: Third, _ fourth: Fourth) -> Activation
  where Arguments == (First, Second, Third, Fourth) {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    return Activation(
      site,
      ProbeCore.begin(
        site, UInt64(truncatingIfNeeded: first), UInt64(truncatingIfNeeded: second),
        UInt64(truncatingIfNeeded: third), UInt64(truncatingIfNeeded: fourth)))
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  ///   - body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable, Result: ~Copyable,
    Failure: Error
  >(
    _ first: First, _ second: Second, _ third: Third, _ fourth: Fourth,
    during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result where Arguments == (First, Second, Third, Fourth) {
    try run(begin(first, second, third, fourth), body)
  }
}

// SPDX-License-Identifier: Apache-2.0

extension ProbePoint where Arguments == Void {
  /// Runs what is attached to a point without arguments.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit() {
    if _slowPath(site.isAttached) { ProbeCore.hit(site, 0, 0, 0, 0) }
  }

  /// Runs what is attached to a point without arguments, and notes the beginning of a scope.
  ///
  /// As the other `begin`s.
  ///
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin() -> Activation {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    return Activation(site, ProbeCore.begin(site, 0, 0, 0, 0))
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  /// - Parameter body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<Result: ~Copyable, Failure: Error>(
    during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try run(begin(), body)
  }
}

extension ProbePoint where Arguments: FixedWidthInteger & Sendable {
  /// A point with a name, and a name for its one argument.
  ///
  /// As the other points.
  ///
  /// - Parameters:
  ///   - name: not empty; by convention with dots, such as `router.lookUp`.
  ///   - argument: the name of the argument.
  ///   - registry: where it is declared; the process's own unless given.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: yes
  public init(
    _ name: String, _ argument: String, in registry: ProbeRegistry = .shared,
    file: StaticString = #fileID, line: UInt = #line
  ) {
    site = registry.declare(name, [argument], signs: [Arguments.isSigned], file, line)
  }

  /// Runs what is attached to a point with one argument.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Parameter argument: its value, which is read as a 64-bit word.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit(_ argument: Arguments) {
    if _slowPath(site.isAttached) {
      ProbeCore.hit(site, UInt64(truncatingIfNeeded: argument), 0, 0, 0)
    }
  }

  /// Runs what is attached to a point with one argument, and notes the beginning of a scope.
  ///
  /// As the other `begin`s.
  ///
  /// - Parameter argument: its value, which is read as a 64-bit word.
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin(_ argument: Arguments) -> Activation {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    return Activation(site, ProbeCore.begin(site, UInt64(truncatingIfNeeded: argument), 0, 0, 0))
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  /// - Parameters:
  ///   - argument: its value, which is read as a 64-bit word.
  ///   - body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<Result: ~Copyable, Failure: Error>(
    _ argument: Arguments, during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try run(begin(argument), body)
  }
}

// MARK: - Five arguments and more

extension ProbePoint {
  /// Runs what is attached to a point with five arguments or more.
  ///
  /// Inside a handler of a probe it runs nothing, and is counted.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  ///   - fifth: the value of the fifth argument, as a 64-bit word.
  ///   - rest: the values of the others.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func hit<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable,
    Fifth: FixedWidthInteger & Sendable, each Rest: FixedWidthInteger & Sendable
  >(
    _ first: First, _ second: Second, _ third: Third, _ fourth: Fourth, _ fifth: Fifth,
    _ rest: repeat each Rest
  ) where Arguments == (First, Second, Third, Fourth, Fifth, repeat each Rest) {
    if _slowPath(site.isAttached) {
      // Safety: as below.
      unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 17) { words in
        // Safety: a word for each argument, and one before them.
        let base = unsafe Table(words.baseAddress.unsafelyUnwrapped)
        Self.store(first, second, third, fourth, fifth, to: base)
        Self.store(repeat each rest, to: base)
        ProbeCore.hit(site, base)
      }
    }
  }

  /// Runs what is attached to a point with five arguments or more, and notes the beginning of a scope.
  ///
  /// As the other `begin`s.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  ///   - fifth: the value of the fifth argument, as a 64-bit word.
  ///   - rest: the values of the others.
  /// - Returns: what `end(_:)` takes; dropped, it runs nothing.
  /// - Progress: wait-free while nothing is attached; else as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func begin<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable,
    Fifth: FixedWidthInteger & Sendable, each Rest: FixedWidthInteger & Sendable
  >(
    _ first: First, _ second: Second, _ third: Third, _ fourth: Fourth, _ fifth: Fifth,
    _ rest: repeat each Rest
  ) -> Activation where Arguments == (First, Second, Third, Fourth, Fifth, repeat each Rest) {
    if _fastPath(!site.isAttached) { return Activation(site, 0) }
    // Safety: as below.
    return unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 17) { words in
      // Safety: a word for each argument, and one before them.
      let base = unsafe Table(words.baseAddress.unsafelyUnwrapped)
      Self.store(first, second, third, fourth, fifth, to: base)
      Self.store(repeat each rest, to: base)
      return Activation(site, ProbeCore.begin(site, base))
    }
  }

  /// Runs `body` between a beginning and an end, on every path out.
  ///
  /// - Parameters:
  ///   - first: the value of the first argument, as a 64-bit word.
  ///   - second: the value of the second argument, as a 64-bit word.
  ///   - third: the value of the third argument, as a 64-bit word.
  ///   - fourth: the value of the fourth argument, as a 64-bit word.
  ///   - fifth: the value of the fifth argument, as a 64-bit word.
  ///   - rest: the values of the others.
  ///   - body: runs once, whether or not anything is attached.
  /// - Returns: what `body` returned.
  /// - Throws: what `body` throws.
  /// - Progress: as `body`, and as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func measure<
    First: FixedWidthInteger & Sendable, Second: FixedWidthInteger & Sendable,
    Third: FixedWidthInteger & Sendable, Fourth: FixedWidthInteger & Sendable,
    Fifth: FixedWidthInteger & Sendable, each Rest: FixedWidthInteger & Sendable, Result: ~Copyable,
    Failure: Error
  >(
    _ first: First, _ second: Second, _ third: Third, _ fourth: Fourth, _ fifth: Fifth,
    _ rest: repeat each Rest, during body: () throws(Failure) -> Result
  ) throws(Failure) -> Result
  where Arguments == (First, Second, Third, Fourth, Fifth, repeat each Rest) {
    try run(begin(first, second, third, fourth, fifth, repeat each rest), body)
  }

  @inlinable @inline(__always)
  static func store(
    _ first: some FixedWidthInteger, _ second: some FixedWidthInteger,
    _ third: some FixedWidthInteger, _ fourth: some FixedWidthInteger,
    _ fifth: some FixedWidthInteger, to words: Table<UInt64>
  ) {
    words[1] = UInt64(truncatingIfNeeded: first)
    words[2] = UInt64(truncatingIfNeeded: second)
    words[3] = UInt64(truncatingIfNeeded: third)
    words[4] = UInt64(truncatingIfNeeded: fourth)
    words[5] = UInt64(truncatingIfNeeded: fifth)
  }

  /// Those after the fifth. Swift 6.3.1 loses values of a pack that is made of single values and of another
  /// pack, where it optimises.
  @inlinable @inline(__always)
  static func store<each Rest: FixedWidthInteger & Sendable>(
    _ rest: repeat each Rest, to words: Table<UInt64>
  ) {
    var index = 6
    for argument in repeat each rest {
      words[index] = UInt64(truncatingIfNeeded: argument)
      index &+= 1
    }
  }
}

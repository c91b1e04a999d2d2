// SPDX-License-Identifier: Apache-2.0

/// A place in a program where something can be attached while it runs.
///
///     static let lookUp = ProbePoint<(UInt64, Int)>("router.lookUp", "key", "length")
///     …
///     Router.lookUp.hit(key, length)  // one load and a branch while nothing is attached
///     …
///     let probe = try ProbeRegistry.shared.attach(.count, to: "router.lookUp")
///
/// Attaching is seen at once, by every thread, in whatever state its CPU is; none is disturbed. A
/// handler runs on the thread that hits, and may be hit from user, from kernel, from a thread that
/// is no CPU, and from a signal handler.
///
/// A point has up to 16 arguments, whole numbers of up to 64 bits, which it names: their types are
/// those of a tuple. One argument is its type alone, and none is `Void`:
///
///     static let hit = ProbePoint<UInt64>("cache.hit", "key")
///     static let flushed = ProbePoint<Void>("cache.flushed")
///
/// Up to four arguments are passed in registers. From five on each costs some ten nanoseconds while
/// something is attached.
///
/// Keep a point in a `static let`; points are never given back.
///
/// Do not use it for what is always on: a ``Tracepoint`` costs less then.
///
/// - Source: Linux's kprobes and uprobes, and the static probes of DTrace and LTTng.
/// - Progress: wait-free while nothing is attached; else as what is attached
/// - Context: any thread, also in user, inside handlers and signal handlers
/// - Allocates: never
public struct ProbePoint<Arguments>: Sendable {
  @usableFromInline let site: ProbeSite

  /// A point with a name, and a name for each argument.
  ///
  /// A name that the registry has already is the same point, if its arguments have the same names;
  /// with other names the process ends with a sentence, and so does it with an empty name, a wrong
  /// number of names, or more than 16. Where the registry has room for no further point, this one
  /// never has anything attached (`ProbeRegistry.refusedPoints`).
  ///
  /// - Parameters:
  ///   - name: not empty; by convention with dots, such as `router.lookUp`.
  ///   - arguments: one name for each argument, at most 16.
  ///   - registry: where it is declared; the process's own unless given.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: yes
  public init<each Argument: FixedWidthInteger & Sendable>(
    _ name: String, _ arguments: String..., in registry: ProbeRegistry = .shared,
    file: StaticString = #fileID, line: UInt = #line
  ) where Arguments == (repeat each Argument) {
    var signs: [Bool] = []
    repeat signs.append((each Argument).isSigned)
    site = registry.declare(name, arguments, signs: signs, file, line)
  }

  /// Whether anything is attached: to spare what arguments cost.
  ///
  ///     if point.isAttached { point.hit(expensiveHash(), 0) }
  ///
  /// - Progress: wait-free
  /// - Context: any thread, also in user, inside handlers and signal handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public var isAttached: Bool { site.isAttached }
}

// MARK: - Scopes

extension ProbePoint {
  /// The time between a beginning and an end, for what is attached to the point.
  ///
  /// It ends once: by `end(_:)`, or where it goes out of scope, which runs nothing.
  @frozen
  public struct Activation: ~Copyable {
    @usableFromInline let site: ProbeSite
    @usableFromInline let chain: UInt

    @inlinable @inline(__always)
    init(_ site: ProbeSite, _ chain: UInt) {
      self.site = site
      self.chain = chain
    }

    @inlinable @inline(__always)
    deinit {
      if chain != 0 { ProbeCore.end(site, chain, isAbandoned: true) }
    }

    @inlinable @inline(__always)
    consuming func finish() {
      let (site, chain) = (self.site, self.chain)
      discard self
      if _slowPath(chain != 0) { ProbeCore.end(site, chain, isAbandoned: false) }
    }
  }

  /// Runs what is attached to the return.
  ///
  /// - Parameter activation: what `begin` gave.
  /// - Progress: as what is attached
  /// - Context: any thread, also in user and inside handlers
  /// - Allocates: never
  @inlinable @inline(__always)
  public func end(_ activation: consuming Activation) { activation.finish() }

  @inlinable @inline(__always)
  func run<Result: ~Copyable, Failure: Error>(
    _ activation: consuming Activation, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    do throws(Failure) {
      let result = try body()
      activation.finish()
      return result
    } catch {
      activation.finish()
      throw error
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The points of a process, and what is attached to them.
///
///     let registry = ProbeRegistry.shared
///     let counts = try registry.attach(.count, toAll: "router.*")
///     let latency = try registry.attach(.latency, to: "router.lookUp", filter: "key > 100")
///     …
///     print(registry.summary)
///     registry.remove(counts + [latency])  // nobody is inside a handler any more
///
/// A registry is never freed, since points may be hit as long as the process lives; most programs
/// have the shared one alone.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
// Sendable: constants, addresses of memory in which every word is atomic, and a lock.
@safe
public final class ProbeRegistry: @unchecked Sendable {
  /// The registry that points are declared in where nothing else is said.
  public static let shared: ProbeRegistry = {
    do throws(IsolationError) {
      return try ProbeRegistry()
    } catch {
      misuse("no registry of probes can be made: \(error)")
    }
  }()

  /// How many arguments a point may have.
  static var argumentLimit: Int { 16 }

  let core: ProbeCore
  let capacity: Int
  let state: Lock<State>
  private let sites: Table<ProbeSiteLine>

  /// What is known of a point.
  struct Point {
    let name: String
    let arguments: [String]
    let signs: [Bool]
    let site: ProbeSite
    /// What is attached, in the order of attachment, enabled or not.
    var probes: [Probe] = []
    var list: ProbeList? = nil
    /// What is done when something has been attached, or the last of it has been taken away.
    var followers: [Follower] = []
  }

  /// What follows a point, told from others by what it is.
  final class Follower: Sendable {
    let run: @Sendable () throws(IsolationError) -> Void

    init(run: @escaping @Sendable () throws(IsolationError) -> Void) { self.run = run }
  }

  /// What removed probes leave behind, until no section can be looking at it.
  struct Garbage {
    let number: UInt64
    var wait: ProbeSections.Wait
    var lists: [ProbeList]
    var probes: [Probe]
  }

  struct State {
    var points: [Point] = []
    var byName: [String: Int] = [:]
    var freeNumbers: [Int] = []
    var nextNumber = 0
    var nextRegistration: UInt64 = 1
    var garbage: [Garbage] = []
    var refused = 0
    var isClosed = false
    /// What points lead to after the end: a list without records.
    var end: ProbeList? = nil
    var traced: [String: TracedPoint] = [:]
  }

  /// A registry with room for so many points, so many probes at the same time, and so many
  /// activations of probes that return.
  ///
  /// A number outside 1 to 1 048 576 ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - capacity: how many points there can be, and how many probes at once.
  ///   - activations: how many scopes of returning probes can be going on at once. A thread's first scope that is
  ///     measured and nothing else needs none: its point has one probe, `.latency` without a filter and a maximum.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: yes, and never gives it back
  public init(
    capacity: Int = 65_536, activations: Int = 4096, file: StaticString = #fileID,
    line: UInt = #line
  ) throws(IsolationError) {
    for (what, number) in [("points", capacity), ("activations", activations)]
    where !(1...1 << 20).contains(number) {
      misuse(
        "a registry of probes cannot have \(number) \(what): it takes 1 to 1048576", file, line)
    }
    self.capacity = capacity
    let words = capacity * ProbeRecord.countWords
    // Safety: new memory, for good.
    guard let sections = unsafe cpi_map_zeroed(ProbeSections.byteCount),
      let counts = unsafe cpi_map_zeroed(ProbeCounts.byteCount(words: words)),
      let records = unsafe cpi_map_zeroed(capacity * 8),
      let sites = unsafe cpi_map_zeroed(capacity * MemoryLayout<ProbeSiteLine>.stride)
    else {
      throw IsolationError(.outOfMemory, errno: 12, "cannot map a registry of \(capacity) points")
    }
    // Safety: new memory, for good.
    self.sites = unsafe Table(Address(sites))
    let pool = try RawObjectPool(
      capacity: activations, objectBytes: ProbeCore.Activation.byteCount,
      rings: 2 * Int(cpi_processor_count()))
    // Safety: as above.
    let shape = unsafe Place(UnsafeMutablePointer<ProbeShape>.allocate(capacity: 1))
    unsafe shape.initialize(
      to: ProbeShape(
        sections: ProbeSections(base: Address(sections)),
        counts: ProbeCounts(base: Address(counts), words: words),
        activations: pool.core,
        records: Table(Address(records))))
    core = ProbeCore(base: shape)
    state = Lock(State())
    // For as long as the process lives.
    // Safety: references that are never given back.
    _ = unsafe Unmanaged.passRetained(self)
    _ = unsafe Unmanaged.passRetained(pool)
  }

  // MARK: Points

  /// How many points were declared that the registry had no room for.
  public var refusedPoints: Int { state.withLock { $0.refused } }

  /// The names of the points that have been declared so far.
  ///
  /// A `static let` declares its point when it is first used.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: the list
  public var pointNames: [String] { state.withLock { $0.points.map(\.name) } }

  func declare(
    _ name: String, _ arguments: [String], signs: [Bool], _ file: StaticString, _ line: UInt
  ) -> ProbeSite {
    if name.isEmpty { misuse("a probe point has no name", file, line) }
    if arguments.count != signs.count {
      misuse(
        "the probe point \(name) has \(signs.count) arguments, and names for \(arguments.count)",
        file, line)
    }
    if arguments.count > Self.argumentLimit {
      misuse(
        "the probe point \(name) has \(arguments.count) arguments: 16 are the most", file, line)
    }
    return state.withLock { state in
      if let index = state.byName[name] {
        let known = state.points[index]
        if known.arguments != arguments || known.signs != signs {
          misuse(
            "the probe point \(name) was declared with the arguments \(known.arguments) before, and "
              + "with \(arguments) now", file, line)
        }
        return known.site
      }
      let index = state.points.count
      if index == capacity {
        state.refused += 1
        // Safety: new memory, for good.
        return unsafe makeSite(Place(.allocate(capacity: 1)), -1, arguments.count)
      }
      let site = makeSite(sites.place(index), index, arguments.count)
      state.byName[name] = index
      state.points.append(Point(name: name, arguments: arguments, signs: signs, site: site))
      if let end = state.end { publish(end, at: site) }
      return site
    }
  }

  private func makeSite(
    _ base: Place<ProbeSiteLine>, _ index: Int, _ arguments: Int
  ) -> ProbeSite {
    base.initialize(to: ProbeSiteLine(core: core, index: index, arguments: arguments))
    return ProbeSite(base: base)
  }

  /// Has hits find a list from now on.
  func publish(_ list: ProbeList?, at site: ProbeSite) {
    // Relaxed: nothing is read through a name; who uses it later looks for the record that it had then.
    site.base.value.measuring.store(list?.measuring ?? 0, ordering: .relaxed)
    // Release — probe:P. What the list leads to is written before. Pairs with probe:V.
    site.base.value.list.store(
      list?.base.bits ?? 0, ordering: .releasing)
  }

  // MARK: Looking

  /// The probes that are attached, point by point.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: the list
  public var probes: [Probe] { state.withLock { $0.points.flatMap(\.probes) } }

  /// Hits that ran nothing, because their thread was in a handler: a point in a handler, or a signal in
  /// one.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: never
  public var nestedHits: UInt64 {
    state.withLock { state in
      state.points.reduce(0) { sum, point in
        sum &+ point.site.base.value.nested.load(ordering: .relaxed)
      }
    }
  }

  /// Hits of points after `close()`, which ran nothing.
  public var lateHits: UInt64 {
    core.shape.value.late.load(ordering: .relaxed)
  }

  /// A line for each probe: its point, what it does, hits, misses, and percentiles where it has them.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside signal handlers
  /// - Allocates: the text
  public var summary: String {
    var lines = [["point", "probe", "hits", "filtered", "missed", "p50", "p99", "max"]]
    for probe in probes {
      var line = [
        probe.point, probe.use, "\(probe.hits)", "\(probe.filtered)", "\(probe.missed)",
      ]
      if let histogram = probe.histogram {
        line += [50, 99, 100].map { "\(histogram.percentile($0))" }
      }
      lines.append(line)
    }
    let widths = lines[0].indices.map { column in
      lines.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return lines.map { line in
      var text = ""
      for (column, cell) in line.enumerated() {
        let blanks = String(repeating: " ", count: widths[column] - cell.count)
        // Names to the left, numbers to the right.
        text += column < 2 ? cell + blanks + "  " : blanks + cell + "  "
      }
      while text.last == " " { text.removeLast() }
      return text + "\n"
    }.joined()
  }
}

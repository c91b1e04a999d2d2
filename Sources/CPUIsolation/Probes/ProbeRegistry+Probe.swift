// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension ProbeRegistry {
  /// What a probe does when its point is hit.
  ///
  ///     .latency  // how long scopes take
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: as each member says
  public struct Use: Sendable {
    let kind: ProbeRecord.Kind
    var argument: String? = nil
    var functions: ProbeFunctions? = nil
    var coordinator: Coordinator? = nil
    var isReturning = false

    /// Counts hits.
    public static var count: Use { Use(kind: .count) }

    /// Counts hits by the value of an argument: up to about 1000 values, the rest together.
    ///
    /// - Parameter argument: the name of an argument of the point; `attach` refuses one that the
    ///   point does not have.
    /// - Returns: a use for `attach`.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: 16 KB when it is attached
    public static func counts(by argument: String) -> Use { Use(kind: .tally, argument: argument) }

    /// A histogram of the values of an argument.
    ///
    /// - Parameter argument: the name of an argument of the point; `attach` refuses one that the
    ///   point does not have.
    /// - Returns: a use for `attach`.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: 8 KB a thread that hits
    public static func values(of argument: String) -> Use { Use(kind: .values, argument: argument) }

    /// A histogram of how long scopes take, in nanoseconds.
    public static var latency: Use { Use(kind: .latency, isReturning: true) }

    /// Records an event of the point's name in a coordinator's trace, with the arguments as fields.
    ///
    /// There is room for 51 events of one's own in a coordinator, and an event has room for five
    /// arguments, for more where there are many CPUs.
    ///
    /// - Parameter coordinator: whose trace the events go to.
    /// - Returns: a use for `attach`, which throws where there is no room.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public static func trace(into coordinator: Coordinator) -> Use {
      Use(kind: .trace, coordinator: coordinator)
    }

    /// Calls a function.
    ///
    /// It runs on the thread that hits: in user, in a signal handler, wherever the point stands; it
    /// must do only what is allowed there, and not block.
    ///
    /// - Parameter function: gets the hit, on the thread that hits.
    /// - Returns: a use for `attach`.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the function
    public static func call(
      _ function: @escaping @Sendable (borrowing ProbeRegistry.Hit) -> Void
    ) -> Use {
      Use(kind: .call, functions: ProbeFunctions(onEntry: function, onReturn: nil))
    }

    /// Calls a function when a scope begins, and another when it ends.
    ///
    /// - Parameters:
    ///   - onEntry: gets the hit at the beginning; does nothing unless given.
    ///   - onReturn: gets the hit at the end, with the arguments of the beginning.
    /// - Returns: a use for `attach`.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the functions
    public static func call(
      onEntry: @escaping @Sendable (borrowing ProbeRegistry.Hit) -> Void = { _ in },
      onReturn: @escaping @Sendable (borrowing ProbeRegistry.Hit) -> Void
    ) -> Use {
      Use(
        kind: .call, functions: ProbeFunctions(onEntry: onEntry, onReturn: onReturn),
        isReturning: true)
    }

    var name: String {
      switch kind {
      case .count: "count"
      case .tally: "counts by \(argument ?? "")"
      case .values: "values of \(argument ?? "")"
      case .latency: "latency"
      case .trace: "trace"
      case .call: isReturning ? "call on return" : "call"
      }
    }
  }

  /// What is attached to a point, from `attach` to `remove`.
  ///
  ///     probe.hits
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: never
  // Sendable: constants, and addresses of memory in which every word is atomic; `isEnabled` is
  // touched under the registry's lock alone.
  @safe
  public final class Probe: @unchecked Sendable, CustomStringConvertible {
    /// The name of the point.
    public let point: String
    /// What it does, in words.
    public let use: String

    let index: Int
    let record: Place<ProbeRecord>
    let memory: SharedMapping?
    let functions: ProbeFunctions?
    let filter: TraceFilter?
    private let coordinator: Coordinator?
    private let registry: ProbeRegistry
    var isEnabled = true

    init(
      _ registry: ProbeRegistry, _ point: Point, _ use: Use, number: Int, registration: UInt64,
      filter: TraceFilter?, event: TraceEvent, maximumActive: Int
    ) throws(IsolationError) {
      self.registry = registry
      self.point = point.name
      self.use = use.name
      index = point.site.base.value.index
      self.filter = filter
      functions = use.functions
      coordinator = use.coordinator
      switch use.kind {
      case .tally: memory = try SharedMapping(byteCount: ProbeTally.Memory.byteCount)
      case .values, .latency: memory = try SharedMapping(byteCount: ProbeHistogramMemory.byteCount)
      default: memory = nil
      }
      let context =
        memory?.memory.address
        // Safety: the functions are kept by the probe, and the probe by whoever may run it.
        ?? functions.map { unsafe Address(Unmanaged.passUnretained($0).toOpaque()) }
      // Safety: new memory, until `deinit`.
      record = unsafe Place(UnsafeMutablePointer.allocate(capacity: 1))
      record.initialize(
        to: ProbeRecord(
          kind: use.kind, isReturning: use.isReturning, number: number, registration: registration,
          argument: use.argument.flatMap { point.arguments.firstIndex(of: $0) } ?? 0,
          filter: filter.map { $0.program.base }, context: context, event: event,
          coordinator: use.coordinator?.core, maximumActive: UInt64(max(0, maximumActive))))
    }

    deinit {
      // Safety: no handler runs with the record any more.
      unsafe record.pointer.deinitialize(count: 1)
      unsafe record.pointer.deallocate()
    }

    var number: Int { record.value.number }

    /// What was counted for the number before it was this probe's; under the registry's lock.
    var countsBefore: InlineArray<3, UInt64> = .init(repeating: 0)
    /// What it had counted when its number went back.
    private let final = Lock<InlineArray<3, UInt64>?>(nil)

    private func sum(_ which: Int) -> UInt64 {
      final.withLock { $0?[which] } ?? sumNow(which)
    }

    private func sumNow(_ which: Int) -> UInt64 {
      if which == 0, let memory, record.value.kind == .latency {
        return ProbeHistogramMemory(base: memory.memory.address).count
      }
      return registry.core.shape.value.counts.sum(number * ProbeRecord.countWords + which)
        &- countsBefore[which]
    }

    /// Keeps the counts: no hit adds to them any more, and the number is another's from now on.
    func freeze() {
      let counts: InlineArray<3, UInt64> = [sumNow(0), sumNow(1), sumNow(2)]
      final.withLock { $0 = counts }
    }

    /// How often it did something: hits that its filter let pass, and scopes that have ended for one
    /// that returns.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var hits: UInt64 { sum(0) }

    /// How many hits its filter refused.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var filtered: UInt64 { sum(1) }

    /// How many scopes found no activation: each one is counted.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var missed: UInt64 { sum(2) }

    /// What a probe for latency or values has collected; latencies in nanoseconds.
    ///
    /// Every value that was counted before is in it, once. A thread that is stopped for tens of milliseconds where it
    /// puts a value into its bucket, or that a fork left there, may have that one twice.
    ///
    /// - Progress: blocking, tens of milliseconds at most for each thread that is stopped there
    /// - Context: any thread
    /// - Allocates: the buckets
    public var histogram: ProbeRegistry.Histogram? {
      guard let memory, record.value.kind != .tally else { return nil }
      let raw = ProbeHistogramMemory(base: memory.memory.address).histogram
      return record.value.kind == .latency ? raw.inNanoseconds : raw
    }

    /// What a probe that counts by an argument has counted, by value.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the table
    public var counts: [UInt64: UInt64]? {
      guard let memory, record.value.kind == .tally else { return nil }
      return ProbeTally.Memory(base: memory.memory.address).counts
    }

    /// How many hits of such a probe found no room for one more value.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var overflowedCounts: UInt64 {
      guard let memory, record.value.kind == .tally else { return 0 }
      return ProbeTally.Memory(base: memory.memory.address).overflow.value
        .load(ordering: .relaxed)
    }

    /// The point and what it does.
    public var description: String { "\(point): \(use)" }
  }
}

extension ProbeRegistry.Histogram {
  /// The same values, which were cycles.
  var inNanoseconds: ProbeRegistry.Histogram {
    let frequency = UInt128(CycleClock.frequency)
    var converted = ProbeRegistry.Histogram()
    for (bucket, count) in buckets.enumerated() where count > 0 {
      let values = Self.values(of: bucket)
      let middle = UInt128(values.lowerBound) + UInt128(values.upperBound - values.lowerBound) / 2
      converted.add(UInt64(clamping: middle * 1_000_000_000 / frequency), times: count)
    }
    return converted
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeRegistry {
  /// An event that was declared for a point, once for each coordinator.
  struct TracedPoint {
    let coordinator: CoordinatorCore
    let format: TraceEventFormat
    let event: TraceEvent
  }

  /// Attaches to the point of a name.
  ///
  ///     let probe = try registry.attach(.latency, to: "router.lookUp", filter: "key > 100 && CPU & CPUS{1-3}")
  ///
  /// Hits find it when this returns. A point may have any number of probes; they run in the order in
  /// which they were attached.
  ///
  /// - Parameters:
  ///   - use: what it does.
  ///   - name: the name of the point.
  ///   - filter: which hits it is for, in the language of `TraceFilter`, with the arguments as
  ///     fields; `CPU` is the CPU of the hitting thread.
  ///   - maximumActive: the most scopes at once; further ones are missed. Nil is as many as the
  ///     registry has activations, which costs nothing: a maximum is a counter that all threads
  ///     share.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the probe, for `remove` and for what it has counted.
  /// - Throws: `noSuchProbePoint`; `invalidProbe` for an argument that the point does not have, or a
  ///   filter that is wrong; `tooManyProbes`; `tooManyTraceEvents`, `outOfMemory`, `closed`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and signal handlers
  /// - Allocates: yes
  @discardableResult
  public func attach(
    _ use: Use, to name: String, filter: String? = nil, maximumActive: Int? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> Probe {
    let isKnown = state.withLock { $0.byName[name] != nil }
    if !isKnown {
      throw IsolationError(.noSuchProbePoint, "there is no probe point \(name)")
    }
    return try attach(use, named: [name], filter, maximumActive, file, line)[0]
  }

  /// Attaches to every point whose name matches a pattern: all of them, or none if one is refused.
  ///
  ///     let probes = try registry.attach(.count, toAll: "router.*")
  ///
  /// `*` stands for any characters, `?` for one. Points that are declared later are not included.
  ///
  /// - Parameters:
  ///   - use: what each probe does.
  ///   - pattern: compared with the whole name.
  ///   - filter: as for one point; each point has to have the arguments that it names.
  ///   - maximumActive: the most scopes at once of each probe; nil is as many as the registry has.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: one probe for each point, in the order of the points' declaration.
  /// - Throws: as `attach(_:to:filter:maximumActive:)`; `noSuchProbePoint` if no name matches.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and signal handlers
  /// - Allocates: yes
  @discardableResult
  public func attach(
    _ use: Use, toAll pattern: String, filter: String? = nil, maximumActive: Int? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> [Probe] {
    let names = pointNames.filter { Self.matches(Array($0.utf8), Array(pattern.utf8)) }
    if names.isEmpty {
      throw IsolationError(.noSuchProbePoint, "no probe point matches \(pattern)")
    }
    return try attach(use, named: names, filter, maximumActive, file, line)
  }

  private func attach(
    _ use: Use, named names: [String], _ filter: String?, _ maximumActive: Int?,
    _ file: StaticString, _ line: UInt
  ) throws(IsolationError) -> [Probe] {
    if core.shape.value.sections.isInside {
      misuse("a probe's function must not attach probes", file, line)
    }
    let added = try state.withLock { (state) throws(IsolationError) -> [Probe] in
      if state.isClosed { throw IsolationError(.closed, "the registry of probes is closed") }
      var added: [Probe] = []
      do throws(IsolationError) {
        for name in names {
          let point = state.points[state.byName[name]!]
          added.append(try makeProbe(use, at: point, filter, maximumActive, &state))
        }
      } catch {
        state.freeNumbers += added.map(\.number)
        throw error
      }
      for probe in added { state.points[probe.index].probes.append(probe) }
      return added
    }
    do throws(IsolationError) {
      try follow(turn(added, true))
    } catch {
      remove(added)
      throw error
    }
    return added
  }

  private func makeProbe(
    _ use: Use, at point: Point, _ filter: String?, _ maximumActive: Int?, _ state: inout State
  ) throws(IsolationError) -> Probe {
    if let argument = use.argument, !point.arguments.contains(argument) {
      throw IsolationError(
        .invalidProbe, "\(point.name) has no argument \(argument): it has \(point.arguments)")
    }
    if let maximumActive, maximumActive < 1 {
      throw IsolationError(
        .invalidProbe, "the maximum of active scopes of \(point.name) is \(maximumActive)")
    }
    var compiled: TraceFilter? = nil
    if let filter {
      do throws(TraceFilter.ParseError) {
        compiled = try TraceFilter(filter, for: Self.format(of: point))
      } catch {
        throw IsolationError(.invalidProbe, "the filter of \(point.name): \(error)")
      }
      if compiled!.isUnconditional { compiled = nil }
    }
    var event = TraceEvent(index: 0, number: 0)
    if let coordinator = use.coordinator {
      event = try declareEvent(of: point, in: coordinator, &state)
    }
    guard
      let number = state.freeNumbers.popLast()
        ?? (state.nextNumber < capacity ? state.nextNumber : nil)
    else {
      throw IsolationError(
        .tooManyProbes, "\(point.name) would get probe \(capacity + 1) of \(capacity)")
    }
    if number == state.nextNumber { state.nextNumber += 1 }
    state.nextRegistration += 1
    let probe = try Probe(
      self, point, use, number: number, registration: state.nextRegistration, filter: compiled,
      event: event, maximumActive: maximumActive ?? 0)
    let counts = core.shape.value.counts
    for which in 0..<ProbeRecord.countWords {
      probe.countsBefore[which] = counts.sum(number * ProbeRecord.countWords + which)
    }
    probe.isEnabled = false
    // Release — probe:P. The record before the number that leads to it. Pairs with probe:V.
    core.shape.value.records[number].store(
      probe.record.bits, ordering: .releasing)
    return probe
  }

  /// What a hit looks like to a filter and in a trace.
  private static func format(of point: Point, id: Int = 1) -> TraceEventFormat {
    let fields = zip(point.arguments, point.signs).map { name, isSigned in
      isSigned
        ? TraceEventFormat.Field.number(name, as: Int64.self)
        : TraceEventFormat.Field.number(name, as: UInt64.self)
    }
    let formats = zip(point.arguments, point.signs).map { name, isSigned in
      "\(name)=%\(isSigned ? "lld" : "llu")"
    }
    let values = point.arguments.map { ", REC->\($0)" }.joined()
    let name = String(point.name.map { $0.isLetter || $0.isNumber || $0 == "_" ? $0 : "_" })
    return TraceEventFormat(
      system: "probes", name: name, id: id, declaring: fields,
      printFormat: "\"\(formats.joined(separator: " "))\"\(values)")
  }

  private func declareEvent(
    of point: Point, in coordinator: Coordinator, _ state: inout State
  ) throws(IsolationError) -> TraceEvent {
    let key = "\(UInt(bitPattern: coordinator.core.hashValue)) \(point.name)"
    if let known = state.traced[key], known.coordinator == coordinator.core { return known.event }
    let format = Self.format(of: point, id: 0x4000 + point.site.base.value.index % 0x8000)
    let tracepoint = try coordinator.tracer.declare(format)
    do throws(TraceFilter.ParseError) {
      try coordinator.tracer.start(format)
    } catch {
      misuse("an event without a filter was refused: \(error)")
    }
    state.traced[key] = TracedPoint(
      coordinator: coordinator.core, format: format, event: tracepoint.event)
    return tracepoint.event
  }

  /// Whether a name matches a pattern of `*` and `?`.
  static func matches(_ name: [UInt8], _ pattern: [UInt8]) -> Bool {
    var (at, place) = (0, 0)
    var star: (at: Int, place: Int)? = nil
    while at < name.count {
      if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
        star = (at, place)
        place += 1
      } else if place < pattern.count,
        pattern[place] == UInt8(ascii: "?") || pattern[place] == name[at]
      {
        at += 1
        place += 1
      } else if let last = star {
        // The last star takes one more.
        star = (last.at + 1, last.place)
        at = last.at + 1
        place = last.place + 1
      } else {
        return false
      }
    }
    return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}

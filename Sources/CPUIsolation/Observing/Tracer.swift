// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A coordinator's trace: which events are recorded, under which filters, and what was recorded.
///
///     let tracer = coordinator.tracer
///     try tracer.start(.ipiSendCPU, filter: "cpu & CPUS{2-3}")
///     try tracer.start(.contextUserExit)
///     …
///     let snapshot = tracer.snapshot()
///
/// Every CPU records into a ring of its own, all other threads into one more; a full ring overwrites
/// its oldest. Recording never waits and never allocates, and may happen in a signal handler.
/// Beginning and ending disturbs nobody: a CPU in its hot loop notices at its next transition.
///
/// An event that is off costs nothing where it stands after a slow path, else one load and a
/// branch.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
/// - Source: the trace events of Linux, and their filters.
public struct Tracer: Sendable {
  private let coordinator: Coordinator

  init(_ coordinator: Coordinator) { self.coordinator = coordinator }

  private var core: CoordinatorCore { coordinator.core }
  private var buffers: TraceBuffers { coordinator.traceMemory.buffers }

  /// Records an event from now on, if the filter agrees. Another call changes the filter.
  ///
  ///     try tracer.start(.csdQueueCPU, filter: "cpu == 3 && common_pid != 1")
  ///
  /// A filter that is refused changes nothing: what was recorded before is recorded still, under
  /// the filter that it had. (Linux disables the filter then.) The old filter is freed when nobody
  /// can be looking at it any more; nobody waits for that.
  ///
  /// An event of one's own has to be declared before.
  ///
  /// - Parameters:
  ///   - event: a built-in event, or one that was declared; another one ends the process with a
  ///     sentence.
  ///   - text: the filter; nil records every event.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: what is wrong with the filter, and where.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: the filter
  public func start(
    _ event: TraceEventFormat, filter text: String? = nil, file: StaticString = #fileID,
    line: UInt = #line
  ) throws(TraceFilter
    .ParseError)
  {
    var filter: TraceFilter? = nil
    if let text {
      filter = try TraceFilter(
        text, for: event, cpuCount: core.slots.count, symbols: SymbolTable(symbols))
      if filter!.isUnconditional { filter = nil }
    }
    coordinator.registry.withLock { state in
      guard let known = state.trace.event(of: event) else {
        misuse("the event \(event.name) was not declared to this coordinator", file, line)
      }
      state.trace.setFilter(filter, of: known, in: buffers, core.slots)
      state.record(state.trace.recorded | known.bit, in: buffers, of: core)
    }
  }

  /// Records an event no more. What was recorded stays.
  ///
  /// - Parameter event: one that is recorded; another one is passed over.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: never
  public func stop(_ event: TraceEventFormat) {
    coordinator.registry.withLock { state in
      guard let known = state.trace.event(of: event) else { return }
      state.record(state.trace.recorded & ~known.bit, in: buffers, of: core)
      state.trace.setFilter(nil, of: known, in: buffers, core.slots)
    }
  }

  /// The events that are recorded.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: the list
  public var events: [TraceEventFormat] {
    coordinator.registry.withLock { state in
      state.trace.formats.enumerated().filter {
        state.trace.recorded >> UInt64($0.offset) & 1 != 0
      }
      .map(\.element)
    }
  }

  /// Makes an event of one's own known, and gives the place to record it at.
  ///
  ///     let refreshed = try coordinator.tracer.declare(format)
  ///     try coordinator.tracer.start(format, filter: "count > 100")
  ///     refreshed.record((UInt32(routes.count), UInt32(version)))
  ///
  /// - Parameter format: its number and name are no other event's.
  /// - Returns: where it is recorded.
  /// - Throws: `tooManyTraceEvents` for the 52nd one; `invalidConfiguration` if the number or the
  ///   name is another event's, or a record would not fit into a slot.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers
  /// - Allocates: yes
  public func declare(_ format: TraceEventFormat) throws(IsolationError) -> Tracepoint {
    let words = buffers.payloadWords
    return try coordinator.registry.withLock { state throws(IsolationError) in
      let formats = state.trace.formats
      if formats.contains(where: { $0.id == format.id || $0.name == format.name }) {
        throw IsolationError(
          .invalidConfiguration,
          "there is an event with the name \(format.name) or the number \(format.id) already")
      }
      if format.fixedSize > words * 8 || format.fields.contains(where: \.isLocation) {
        throw IsolationError(
          .invalidConfiguration,
          "a record of \(format.name) has to have a fixed size of at most \(words * 8) bytes")
      }
      if formats.count == TraceBuffers.eventCapacity {
        throw IsolationError(
          .tooManyTraceEvents,
          "\(format.name) would be event \(formats.count + 1) of \(TraceBuffers.eventCapacity)")
      }
      state.trace.declared.append(format)
      return Tracepoint(
        coordinator, TraceEvent(index: formats.count, number: UInt16(format.id)),
        byteCount: format.fixedSize)
    }
  }

  /// What the rings hold now, while others go on recording.
  ///
  /// - Progress: blocking: reads the names of threads from the system
  /// - Context: any thread, outside handlers
  /// - Allocates: yes
  public func snapshot() -> Tracer.Snapshot {
    let memory = coordinator.traceMemory
    let rings = buffers.rings.map { index in
      buffers.ring(index).snapshot(
        cpu: index == buffers.sharedRing ? nil : index, time: memory.time(at:))
    }
    let (formats, names) = coordinator.registry.withLock {
      ($0.trace.formats, $0.trace.threadNames)
    }
    var sites: Set<UInt64> = []
    var threads: Set<Int32> = []
    for ring in rings {
      for event in ring.events {
        // Safety: a payload begins with the common fields, and holds those of its event.
        unsafe event.payload.withUnsafeBytes { bytes in
          threads.insert(unsafe bytes.loadUnaligned(fromByteOffset: 4, as: Int32.self))
          let number = unsafe bytes.loadUnaligned(as: UInt16.self)
          for offset in BuiltInEvent.siteOffsets(ofNumber: Int(number)) {
            sites.insert(unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
          }
        }
      }
    }
    return Tracer.Snapshot(
      rings: rings, cpuCount: core.slots.count, formats: formats,
      symbols: symbols + sites.sorted().compactMap(Self.symbol(at:)),
      threadNames: Dictionary(
        uniqueKeysWithValues: threads.compactMap { id in
          (CurrentThread.name(of: id) ?? names[id]).map { (id, $0) }
        }))
  }

  /// The names of work types.
  private var symbols: [SymbolTable.Symbol] {
    coordinator.registry.withLock { $0.trace.symbols }
  }

  /// The call site that an address stands for, named by its file and line.
  private static func symbol(at address: UInt64) -> SymbolTable.Symbol? {
    // Safety: call sites are static strings, which end with a zero.
    guard let site = TraceAddress.site(at: address),
      let file = unsafe UnsafePointer<CChar>(bitPattern: site.file)
    else { return nil }
    let path = unsafe String(cString: file)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return SymbolTable.Symbol("\(name):\(site.line)", address..<address + 1)
  }
}

extension Coordinator {
  /// The trace of this coordinator.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var tracer: Tracer { Tracer(self) }
}

extension IsolationError.Code {
  /// All trace events are in use.
  public static let tooManyTraceEvents = Self("tooManyTraceEvents")
}

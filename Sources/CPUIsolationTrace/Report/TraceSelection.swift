// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// Which events of a recording are wanted.
///
/// ```swift
/// var selection = TraceSelection(recording)
/// try selection.add("ipi_send_cpumask", "cpumask & CPUS{2-3}")
/// selection.cpus = [0]
/// try recording.selecting(selection).write(.html, to: "trace.html")
/// ```
///
/// A selection to which no event was added contains all of them. Of the events that were named it
/// contains those that match one of their filters; an event without filters is contained whole.
/// Masks are as wide as the recording has CPUs.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: when filters are added
public struct TraceSelection: Sendable {
  /// Why an event was not added.
  ///
  /// `unknownEvent`: the recording has no format of that name. `filter`: the event has not such a
  /// field, or it is no filter; the error says where.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: for the text
  public enum Failure: Error, Sendable, CustomStringConvertible {
    case unknownEvent(String)
    case filter(event: String, TraceFilter.ParseError)

    public var description: String {
      switch self {
      case .unknownEvent(let name): "the recording has no event \(name)"
      case .filter(let event, let error): "\(event): \(error)"
      }
    }
  }

  /// The CPUs whose events are wanted; nil for all.
  public var cpus: CPUMask?
  /// When the events are, both ends included; nil for always.
  public var times: ClosedRange<UInt64>?
  /// How many events are wanted at most, the earliest; nil for all.
  public var limit: Int?

  private let recorded: [TraceEventFormat]
  private let cpuCount: Int
  private let recordedSymbols: TraceSymbols
  private let recordedNames: [Int32: String]
  /// By the event's number; empty where the event is wanted whole.
  private var filters: [Int: [TraceFilter]] = [:]
  /// A bit for each number of an event that was added; empty for all events.
  private var wanted: [UInt64] = []
  private var symbols: SymbolTable?
  /// Filters ask for names of threads byte by byte.
  private var threadNames: [Int32: [UInt8]] = [:]

  /// Selects all events of a recording.
  ///
  /// - Parameter recording: whose events are selected.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init(_ recording: TraceRecording) {
    recorded = recording.eventFormats
    cpuCount = recording.cpuCount
    recordedSymbols = recording.symbols
    recordedNames = recording.threadNames
  }

  /// Selects the events of a name that match a filter, besides what is selected already.
  ///
  /// `try selection.add("ipi_send_cpu", "cpu & CPUS{1}")`
  ///
  /// - Parameters:
  ///   - event: the event's name, alone or as `ipi/ipi_send_cpu`.
  ///   - filter: the kernel's language; empty for all events of that name.
  /// - Throws: `Failure`.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func add(_ event: String, _ filter: String) throws(Failure) {
    let formats = recorded.filter { $0.names.contains(event) }
    guard !formats.isEmpty else { throw .unknownEvent(event) }
    if threadNames.isEmpty { threadNames = recordedNames.mapValues { Array($0.utf8) } }
    for format in formats {
      let compiled: TraceFilter
      do {
        compiled = try TraceFilter(
          filter, for: format, cpuCount: cpuCount, symbols: symbolTable(for: filter))
      } catch {
        throw .filter(event: event, error)
      }
      want(format)
      filters[format.id, default: []].append(compiled)
    }
  }

  /// Selects the events whose names are of a pattern, besides what is selected already: whole,
  /// where no filter was added for one.
  ///
  /// `try selection.add(matching: "sched*")`
  ///
  /// - Parameter pattern: of shells, with `*`, `?` and `[a-z]`; for the name alone, or with its
  ///   system for `sched/sched_switch` or `sched:sched_switch`.
  /// - Throws: `Failure`, if no event has such a name.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func add(matching pattern: String) throws(Failure) {
    let shell = ShellPattern(pattern)
    var isUnknown = true
    for format in recorded where format.names.contains(where: { shell.matches($0) }) {
      want(format)
      isUnknown = false
    }
    if isUnknown { throw .unknownEvent(pattern) }
  }

  private mutating func want(_ format: TraceEventFormat) {
    if wanted.isEmpty { wanted = Array(repeating: 0, count: (1 << 16) / 64) }
    wanted[format.id / 64] |= 1 << UInt64(format.id % 64)
  }

  /// A kernel has a hundred thousand symbols: they are listed when a filter may ask for one.
  private mutating func symbolTable(for filter: String) -> SymbolTable {
    guard filter.contains(".function") else { return SymbolTable() }
    let table = symbols ?? SymbolTable(recordedSymbols.ranges)
    symbols = table
    return table
  }

  /// The formats of the events that were added; nil if none was, and all are wanted.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list
  public var formats: [TraceEventFormat]? {
    wanted.isEmpty ? nil : recorded.filter { includes(event: $0.id) }
  }

  /// Tells whether an event is wanted.
  ///
  /// `selection.contains(record)`
  ///
  /// - Parameter record: an event of the recording.
  /// - Returns: whether the selection has it.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func contains(_ record: TraceRecord) -> Bool {
    includes(cpu: record.cpu)
      && record.withPayload { contains($0, cpu: record.cpu, record.timestamp) }
  }

  /// Whether it asks for nothing: then no event need be looked at.
  fileprivate var isWhole: Bool { cpus == nil && times == nil && limit == nil && wanted.isEmpty }

  func includes(cpu: Int) -> Bool { cpus?.contains(cpu) ?? true }

  private func includes(event number: Int) -> Bool {
    wanted.isEmpty || wanted[number / 64] >> UInt64(number % 64) & 1 == 1
  }

  /// Asks about an event of a CPU that is wanted.
  func contains(_ payload: RawSpan, cpu: Int, _ timestamp: UInt64) -> Bool {
    let number = Int(payload.number(UInt16.self, at: 0) ?? 0)
    guard includes(event: number), times?.contains(timestamp) ?? true else { return false }
    if filters.isEmpty { return true }
    guard let candidates = filters[number] else { return true }
    let thread = Int32(bitPattern: payload.number(UInt32.self, at: 4) ?? 0)
    // The kernel's idle threads are not in a file's list of names.
    let name =
      threadNames[thread] ?? Array((thread == 0 ? "swapper/\(cpu)" : "<...>").utf8)
    return candidates.contains {
      unsafe $0.matches(payload, cpu: cpu, taskName: name.span.bytes)
    }
  }
}

extension TraceEventFormat {
  /// What it may be called: alone, or with its system.
  var names: [String] { [name, "\(system)/\(name)", "\(system):\(name)"] }
}

extension TraceRecording {
  /// The same recording, of which only the selected events are given out and written.
  ///
  /// ```swift
  /// try recording.selecting(selection).write(.traceDat, to: "part.dat")
  /// ```
  ///
  /// - Parameter selection: of this recording, and in place of an earlier one.
  /// - Returns: a recording that shares the file with this one.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func selecting(_ selection: TraceSelection) -> TraceRecording {
    var result = self
    result.selection = selection.isWhole ? nil : selection
    return result
  }
}

extension TraceSymbols {
  /// Each symbol with the addresses up to the next one.
  var ranges: [SymbolTable.Symbol] {
    let all = all
    return all.indices.map { index in
      let symbol = all[index]
      var next = index + 1
      while next < all.count, all[next].address == symbol.address { next += 1 }
      let end = next < all.count ? all[next].address : symbol.address &+ 1
      return SymbolTable.Symbol(symbol.name, symbol.address..<max(end, symbol.address))
    }
  }
}

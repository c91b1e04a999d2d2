// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// Which events of a recording are wanted.
///
/// ```swift
/// var selection = TraceSelection(recording)
/// try selection.add("ipi_send_cpumask", "cpumask & CPUS{2-3}")
/// for record in recording.records() where selection.contains(record) { … }
/// ```
///
/// A selection to which nothing was added contains every event. Of the events that were named it
/// contains those that match one of their filters. Masks are as wide as the recording has CPUs.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: when filters are added
public struct TraceSelection: Sendable {
  /// Why a filter was not added.
  ///
  /// `unknownEvent`: the recording has no format of that name. `filter`: the event has not such a
  /// field, or it is no filter; the error says where.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: for the text
  public enum Failure: Error, Sendable, CustomStringConvertible {
    case unknownEvent(String)
    case filter(event: String, TraceFilterError)

    public var description: String {
      switch self {
      case .unknownEvent(let name): "the recording has no event \(name)"
      case .filter(let event, let error): "\(event): \(error)"
      }
    }
  }

  private let recording: TraceRecording
  private var filters: [Int: [TraceFilter]] = [:]
  private var symbols: SymbolTable?

  /// Selects all events of a recording.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init(_ recording: TraceRecording) { self.recording = recording }

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
    let formats = recording.formats(named: event)
    guard !formats.isEmpty else { throw .unknownEvent(event) }
    for format in formats {
      let compiled: TraceFilter
      do {
        compiled = try TraceFilter(
          filter, for: format, cpuCount: recording.cpuCount, symbols: symbolTable(for: filter))
      } catch {
        throw .filter(event: event, error)
      }
      filters[format.id, default: []].append(compiled)
    }
  }

  /// A kernel has a hundred thousand symbols: they are listed when a filter may ask for one.
  private mutating func symbolTable(for filter: String) -> SymbolTable {
    guard filter.contains(".function") else { return SymbolTable() }
    let table = symbols ?? SymbolTable(recording.symbols.ranges)
    symbols = table
    return table
  }

  /// Tells whether an event is wanted.
  ///
  /// `selection.contains(record)`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func contains(_ record: TraceRecord) -> Bool {
    if filters.isEmpty { return true }
    guard let candidates = filters[record.event] else { return false }
    // The kernel's idle threads are not in a file's list of names.
    let name =
      recording.threadNames[record.thread]
      ?? (record.thread == 0 ? "swapper/\(record.cpu)" : "<...>")
    let taskName = Array(name.utf8)
    return record.withPayload { payload in
      candidates.contains {
        unsafe $0.matches(payload, cpu: record.cpu, taskName: taskName.span.bytes)
      }
    }
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

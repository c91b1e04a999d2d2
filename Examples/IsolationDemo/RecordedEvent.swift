// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// An event that a half of the experiment records, and the filter that it is recorded under.
struct RecordedEvent: Equatable, Sendable {
  var format: TraceEventFormat
  var filter: String

  init(_ format: TraceEventFormat, _ filter: String) {
    self.format = format
    self.filter = filter
  }

  /// What is recorded if nobody says otherwise: interrupts that are sent to isolated CPUs, so that
  /// each event is an interference.
  static func interrupts(of isolated: CPUMask) -> [RecordedEvent] {
    [
      RecordedEvent(.ipiSendCPU, "cpu & CPUS{\(isolated)}"),
      RecordedEvent(.ipiSendCPUMask, "cpumask & CPUS{\(isolated)}"),
    ]
  }

  /// What a page shows besides: how long work waits for isolated CPUs, and when it runs.
  static func deferrals(for isolated: CPUMask) -> [RecordedEvent] {
    [.deferredWorkSet, .deferredWorkMerge, .deferredWorkDrain].map {
      RecordedEvent($0, "cpu & CPUS{\(isolated)}")
    }
  }

  /// What `--filter` asks for, each time it stands on the command line: the default, in which some
  /// filters are replaced and to which some events are added.
  static func parse(
    _ requests: [String], housekeeping: CPUMask, isolated: CPUMask, recordsDeferrals: Bool
  ) throws(Options.UsageError) -> [RecordedEvent] {
    var events = interrupts(of: isolated)
    if recordsDeferrals { events += deferrals(for: isolated) }
    var asked: Set<Int> = []
    let cpuCount = (housekeeping.union(isolated).last ?? 0) + 1
    for request in requests {
      let (event, text) = split(request)
      let filter = expand(text, housekeeping: housekeeping, isolated: isolated)
      for format in try formats(event, filter) {
        guard asked.insert(format.id).inserted else {
          throw Options.UsageError("--filter: \(format.name) has a filter already")
        }
        try check(filter, for: format, cpuCount: cpuCount)
        if let index = events.firstIndex(where: { $0.format == format }) {
          events[index].filter = filter
        } else {
          events.append(RecordedEvent(format, filter))
        }
      }
    }
    return events
  }

  /// `EVENT:EXPR` or `EXPR`. A colon in quotes belongs to the expression.
  private static func split(_ request: String) -> (event: String?, filter: String) {
    guard let colon = request.firstIndex(of: ":"), colon != request.startIndex,
      request[..<colon].utf8.allSatisfy({ isWord($0) || $0 == UInt8(ascii: "/") })
    else { return (nil, request) }
    return (String(request[..<colon]), String(request[request.index(after: colon)...]))
  }

  /// The events that an expression is for: the named one, or of the two that send interrupts those
  /// that have the field which it names. Every event has a `cpu`, the one that records, so that a
  /// filter for the other event would be accepted and mean something else.
  private static func formats(
    _ event: String?, _ filter: String
  ) throws(Options.UsageError) -> [TraceEventFormat] {
    if let event {
      guard let format = TraceEventFormat.builtIn(named: event) else {
        throw Options.UsageError("--filter: there is no event \"\(event)\"")
      }
      return [format]
    }
    let words = words(of: filter)
    if words.contains("cpumask") { return [.ipiSendCPUMask] }
    if words.contains("cpu") { return [.ipiSendCPU] }
    return [.ipiSendCPU, .ipiSendCPUMask]
  }

  /// Compiles the filter once before anything runs. The functions are those of the load; they get
  /// their addresses later.
  private static func check(
    _ filter: String, for format: TraceEventFormat, cpuCount: Int
  ) throws(Options.UsageError) {
    let symbols = SymbolTable(
      Callback.deferrable.map { callback in
        let address = UInt64(callback.rawValue + 1) << 4
        return SymbolTable.Symbol(callback.name, address..<address + 16)
      })
    do {
      _ = try TraceFilter(filter, for: format, cpuCount: cpuCount, symbols: symbols)
    } catch {
      throw Options.UsageError(message(for: error, event: format.name))
    }
  }

  /// The lines that the kernel has for a filter that it refuses, and the hint that it has not.
  static func message(for error: TraceFilter.ParseError, event: String) -> String {
    "--filter for \(event):\n" + error.report.dropLast()
      + (error.hint.map { "\nhint: \($0)" } ?? "")
  }

  // MARK: The text of a filter

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  /// The text in pieces: each says whether it is within quotes.
  private static func pieces(of filter: String) -> [(text: Substring, isQuoted: Bool)] {
    var pieces: [(text: Substring, isQuoted: Bool)] = []
    var rest = filter[...]
    while let open = rest.firstIndex(where: { $0 == "\"" || $0 == "'" }) {
      pieces.append((rest[..<open], false))
      let quoted = rest[open...]
      let close = quoted.dropFirst().firstIndex(of: rest[open])
      let end = close.map { rest.index(after: $0) } ?? rest.endIndex
      pieces.append((rest[open..<end], true))
      rest = rest[end...]
    }
    pieces.append((rest, false))
    return pieces
  }

  private static func words(of filter: String) -> Set<String> {
    Set(
      pieces(of: filter).lazy.filter { !$0.isQuoted }.flatMap { piece in
        piece.text.utf8.split { !isWord($0) }.map { String(decoding: $0, as: UTF8.self) }
      })
  }

  /// Puts the lists in where `CPUS{…}` names them.
  private static func expand(
    _ filter: String, housekeeping: CPUMask, isolated: CPUMask
  ) -> String {
    func expand(_ text: Substring) -> String {
      var result = ""
      var rest = text
      while let start = rest.firstRange(of: "CPUS{")?.upperBound,
        let end = rest[start...].firstIndex(of: "}")
      {
        let entries = rest[start..<end].split(separator: ",", omittingEmptySubsequences: false)
        result += rest[..<start]
        result += entries.map { entry in
          switch entry.filter({ $0 != " " }) {
          case "isolated": "\(isolated)"
          case "housekeeping": "\(housekeeping)"
          default: String(entry)
          }
        }.joined(separator: ",")
        rest = rest[end...]
      }
      return result + rest
    }

    return pieces(of: filter).map { $0.isQuoted ? String($0.text) : expand($0.text) }.joined()
  }
}

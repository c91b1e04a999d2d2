// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// An event that is being printed, as far as its own bytes do not say it.
struct PrintedEvent {
  var cpu: Int
  var buffer: Int
  var timestamp: UInt64
  var thread: Int32
  /// The event after it, which the line of a function without calls takes in; nil if there is none,
  /// or it was not looked for.
  var following: TraceRecord?
}

/// What is kept from one event to the next while a recording is printed.
struct PrintState: Sendable {
  var environment: PrintEnvironment
  private(set) var threadNames: [Int32: String]
  /// The names of threads that were printed lately, as wide as their column.
  private var columns: [(thread: Int32, name: [UInt8])] = []
  /// What ends a function, if the recording has such events.
  let graphExit: TracerEntry.GraphExit?
  /// The order of bytes of the recording.
  let order: TraceByteOrder
  /// By buffer and CPU.
  var processors: [Int: Processor] = [:]
  /// The texts of `trace_printk` that were printed, by address and size of a long.
  var printkFormats: [UInt64: BinaryPrintFormat] = [:]

  /// What is known of one CPU.
  struct Processor: Sendable {
    /// The functions that are being called, outermost first: their addresses.
    var functions: [UInt64] = []
    /// When the end of a function was recorded that is printed already.
    var printedExit: UInt64?
  }

  init(_ recording: TraceRecording) {
    environment = PrintEnvironment(
      symbols: recording.symbols, printkTexts: recording.printkTexts)
    threadNames = recording.threadNames
    order = recording.buffers.first?.layout.order ?? .little
    graphExit = recording.formats.values.lazy
      .filter { $0.system == "ftrace" && $0.name == "funcgraph_exit" }.first
      .flatMap(TracerEntry.GraphExit.init)
  }

  /// Keeps the name that an event tells of a thread.
  mutating func name(_ thread: Int32, _ name: @autoclosure () -> String) {
    guard threadNames[thread] == nil else { return }
    threadNames[thread] = name()
    columns = []
  }

  /// Appends the name of a thread, 16 letters wide at least.
  mutating func appendName(ofThread thread: Int32, to line: inout [UInt8]) {
    let slot = Int(thread & 255)
    if columns.isEmpty { columns = Array(repeating: (-1, []), count: 256) }
    if columns[slot].thread != thread || columns[slot].name.isEmpty {
      var column: [UInt8] = []
      let name = thread == 0 ? "<idle>" : threadNames[thread] ?? "<...>"
      column.appendBlanks(16 - name.utf8.count)
      column += name.utf8
      columns[slot] = (thread, column)
    }
    line += columns[slot].name
  }

  static func key(_ event: PrintedEvent) -> Int { event.buffer << 32 | event.cpu }
}

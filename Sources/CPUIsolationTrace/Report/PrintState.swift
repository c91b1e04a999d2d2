// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// An event that is being printed, as far as its own bytes do not say it.
struct PrintedEvent {
  var cpu: Int
  var buffer: Int
  var timestamp: UInt64
  var thread: Int32
  /// The event after it, which the line of a function without calls takes in; nil if there is none,
  /// or nobody looked.
  var following: TraceRecord?
}

/// What is kept from one event to the next while a recording is printed.
struct PrintState: Sendable {
  var environment: PrintEnvironment
  var threadNames: [Int32: String]
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

  static func key(_ event: PrintedEvent) -> Int { event.buffer << 32 | event.cpu }
}

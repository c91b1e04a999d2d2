// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// A trace: what was recorded on each CPU, and what is needed to read it.
///
/// ```swift
/// var recording = TraceRecording(cpuCount: 4)
/// recording.define(.ipiSendCPU)
/// recording.nameThread(4711, "router")
/// recording.append(cpu: 0, timestamp: now, event: TraceEventFormat.ipiSendCPU.id, payload: bytes)
/// try recording.write(.traceDat, to: "trace.dat")
///
/// let read = try TraceRecording(contentsOf: "trace.dat")
/// for record in read.records() { print(record.cpu, record.timestamp) }
/// ```
///
/// Events are kept in the pages in which they stand in a file. One that was read from a file reads
/// its pages when they are asked for, and keeps the file open.
///
/// - Source: trace-cmd.dat.v6(5), trace-cmd.dat.v7(5).
/// - Progress: blocking, where it reads a file
/// - Context: any thread
/// - Allocates: what it holds
public struct TraceRecording: Sendable {
  /// The events of one of the recorder's instances, for each CPU.
  ///
  /// The first buffer of a recording has no name; the others are named instances.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: when events are appended
  public struct Buffer: Sendable {
    /// The instance's name; empty for the first.
    public let name: String
    /// The clock of its time stamps, by the kernel's name for it.
    public let clock: String
    let layout: TracePageLayout
    /// What was read, by CPU.
    var recorded: [(cpu: Int, pages: TracePages)] = []
    /// What was appended, by CPU.
    var appended: [TracePageEncoder] = []
    /// Whether the file says how many nanoseconds a tick of the clock is.
    var hasTickRate = false
  }

  /// How many CPUs there were: their numbers are `0..<cpuCount`, and masks are that wide.
  public let cpuCount: Int

  /// The buffers: first the one without a name, then the instances.
  public internal(set) var buffers: [Buffer]

  /// Addresses of functions.
  public internal(set) var symbols = TraceSymbols()

  /// Names of threads, by their number.
  public internal(set) var threadNames: [Int32: String] = [:]

  /// Texts of `trace_printk`, by address.
  var printkTexts: [UInt64: [UInt8]] = [:]

  /// What the file's options say.
  var options = TraceFileOptions()
  /// nil: every event.
  var selection: TraceSelection?

  var parts = TraceFileParts()
  var formats: [Int: TraceEventFormat] = [:]

  /// Makes an empty recording.
  ///
  /// A number of CPUs outside `1...CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameters:
  ///   - cpuCount: how many CPUs there are.
  ///   - clock: which clock the time stamps are of, by the kernel's name for it. Those of `counter`
  ///     and `x86-tsc` are ticks, all others nanoseconds.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(cpuCount: Int, clock: String = "mono") {
    guard (1...CPUMask.maximumWidth).contains(cpuCount) else {
      fatalError("TraceRecording: \(cpuCount) CPUs, outside 1...\(CPUMask.maximumWidth)")
    }
    let layout = TracePageLayout()
    self.init(
      cpuCount: cpuCount,
      buffers: [
        Buffer(
          name: "", clock: clock, layout: layout,
          appended: Array(repeating: TracePageEncoder(layout: layout), count: cpuCount))
      ])
  }

  init(cpuCount: Int, buffers: [Buffer]) {
    self.cpuCount = cpuCount
    self.buffers = buffers
  }

  /// Says what the events of a number look like. The first format of a number counts.
  ///
  /// `recording.define(.ipiSendCPU)`
  ///
  /// - Parameter format: its number is what the events carry.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func define(_ format: TraceEventFormat) {
    guard formats[format.id] == nil else { return }
    formats[format.id] = format
    parts.add(Array(format.description.utf8), system: format.system)
  }

  /// Gives the function at an address a name.
  ///
  /// `recording.nameSymbol("drain", at: 0x1000)`
  ///
  /// - Parameters:
  ///   - name: what reports show.
  ///   - address: the first byte of the function.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func nameSymbol(_ name: String, at address: UInt64) {
    symbols.add(name, at: address)
  }

  /// Gives a thread a name. Line breaks in it become blanks.
  ///
  /// `recording.nameThread(4711, "router")`
  ///
  /// - Parameters:
  ///   - thread: the system's number of the thread.
  ///   - name: what reports show.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public mutating func nameThread(_ thread: Int32, _ name: String) {
    let line = String(name.map { $0.isNewline ? " " : $0 })
    threadNames[thread] = line
  }

  /// Appends an event after those that its CPU has.
  ///
  /// ```swift
  /// recording.append(cpu: 0, timestamp: 1_000, event: 1001, payload: bytes)
  /// ```
  ///
  /// The payload is all that the event's format describes, from the common fields on; the event's
  /// number is put into the first two bytes. A CPU that the recording has not, or a payload that
  /// does not fit on a page, stops the process.
  ///
  /// - Parameters:
  ///   - cpu: the CPU that recorded it.
  ///   - timestamp: of the buffer's clock; going back is allowed.
  ///   - event: the number of its format.
  ///   - payload: 8 to `TraceRecording.maximumPayload` bytes.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: a page now and then
  public mutating func append(cpu: Int, timestamp: UInt64, event: Int, payload: [UInt8]) {
    guard let number = UInt16(exactly: event) else {
      fatalError("TraceRecording.append: the event number \(event) is outside 0...65535")
    }
    guard (8...Self.maximumPayload).contains(payload.count) else {
      fatalError(
        "TraceRecording.append: \(payload.count) bytes, outside 8...\(Self.maximumPayload)")
    }
    check(cpu, "append")
    var payload = payload
    payload[0] = UInt8(truncatingIfNeeded: number)
    payload[1] = UInt8(truncatingIfNeeded: number >> 8)
    buffers[0].appended[cpu].append(timestamp: timestamp, payload: payload)
  }

  /// Notes that events of a CPU are missing before the next one that is appended. Without a next
  /// one there is no place for the note.
  ///
  /// `recording.lost(cpu: 1, count: 17)`
  ///
  /// - Parameters:
  ///   - cpu: the CPU that lost them.
  ///   - count: how many; nil if the recorder did not count.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: a page now and then
  public mutating func lost(cpu: Int, count: UInt64?) {
    check(cpu, "lost")
    if count == 0 { return }
    buffers[0].appended[cpu].lose(count.map { .events($0) } ?? .unknown)
  }

  private func check(_ cpu: Int, _ function: String) {
    guard buffers[0].appended.indices.contains(cpu) else {
      fatalError(
        buffers[0].appended.isEmpty
          ? "TraceRecording.\(function): a recording that was read does not grow"
          : "TraceRecording.\(function): there is no CPU \(cpu): there are \(cpuCount)")
    }
  }

  /// The most bytes that one event may have.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public static var maximumPayload: Int { TracePageEncoder.maximumPayload(TracePageLayout()) }

  /// The formats that are known, by their number.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list
  public var eventFormats: [TraceEventFormat] { formats.values.sorted { $0.id < $1.id } }

  /// What the payload of an event looks like; nil if the recording does not say.
  ///
  /// `recording.format(of: record)?.name`
  ///
  /// - Parameter record: an event of this recording.
  /// - Returns: the format of the event's number.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func format(of record: TraceRecord) -> TraceEventFormat? { formats[record.event] }

  /// The formats of a name: `ipi_send_cpu`, or with its system `ipi/ipi_send_cpu` or
  /// `ipi:ipi_send_cpu`.
  ///
  /// `recording.formats(named: "ipi_send_cpu").first`
  ///
  /// - Parameter name: an event's name, alone or after its system.
  /// - Returns: the formats, one for each number; empty if there is none.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list
  public func formats(named name: String) -> [TraceEventFormat] {
    eventFormats.filter { $0.names.contains(name) }
  }

  /// All events, in the order of their time stamps.
  ///
  /// `for record in recording.records() { … }`
  ///
  /// - Progress: blocking: reads the file
  /// - Context: any thread
  /// - Allocates: a page for each CPU
  public func records() -> TraceRecords {
    TraceRecords(streams(), limit: selection?.limit)
  }

  func streams() -> [TraceStream] {
    let recorded = buffers.map { $0.pages() }
    let count = recorded.reduce(0) { $0 + $1.count }
    let layout = buffers[0].layout
    let swapper =
      layout.order == .big ? TracePayloadSwapper(formats, longSize: layout.longSize) : nil
    return recorded.enumerated().flatMap { index, buffer in
      buffer.filter { selection?.includes(cpu: $0.cpu) ?? true }.map { cpu, pages in
        TraceStream(
          pages, buffer: index, cpu: cpu, among: count,
          times: TraceTimeConversion(
            offset: options.timeOffset, shift: options.timeShift?.correction(ofCPU: cpu),
            rate: options.tickRate), selection: selection, swapper: swapper)
      }
    }
  }
}

extension TraceRecording.Buffer {
  /// The pages of each CPU that has some, in the order of the CPUs.
  func pages() -> [(cpu: Int, pages: TracePages)] {
    guard recorded.isEmpty else { return recorded }
    return appended.enumerated().compactMap { cpu, encoder in
      guard !encoder.isEmpty else { return nil }
      let source = TraceSource(bytes: encoder.pages, name: "recording")
      return (
        cpu, TracePages(source: source, offset: 0, size: source.size, layout: layout)
      )
    }
  }
}

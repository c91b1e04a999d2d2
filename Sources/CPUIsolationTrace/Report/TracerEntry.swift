// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Entries of ftrace's own tracers. What their format says is not what the kernel prints, so their
/// text is that of trace-cmd.
///
/// - Source: `trace-cmd report` (trace-cmd 3.3.3 with libtraceevent 1.8.4); for `user_stack`, which it
///   has no text for, the kernel's `trace` file.
struct TracerEntry: Sendable {
  private enum Kind: Sendable {
    case function(address: TraceEventFormat.Field, parent: TraceEventFormat.Field)
    case repeats(
      address: TraceEventFormat.Field, parent: TraceEventFormat.Field,
      count: TraceEventFormat.Field, top: TraceEventFormat.Field,
      bottom: TraceEventFormat.Field)
    case graphEntry(function: TraceEventFormat.Field, depth: TraceEventFormat.Field)
    case graphExit(GraphExit)
    case stack(callers: TraceEventFormat.Field, count: TraceEventFormat.Field?)
    case userStack(callers: TraceEventFormat.Field)
    case rawData(identifier: TraceEventFormat.Field, content: TraceEventFormat.Field)
    case binaryPrint(
      address: TraceEventFormat.Field, text: TraceEventFormat.Field,
      arguments: TraceEventFormat.Field)
  }

  /// Where a `funcgraph_exit` has what is printed of it.
  struct GraphExit: Sendable {
    var event: Int
    var function: TraceEventFormat.Field?
    var depth: TraceEventFormat.Field
    var calltime: TraceEventFormat.Field
    var rettime: TraceEventFormat.Field
    var value: TraceEventFormat.Field?

    init?(_ format: TraceEventFormat) {
      guard let depth = format.field(named: "depth"),
        let calltime = format.field(named: "calltime"),
        let rettime = format.field(named: "rettime")
      else { return nil }
      event = format.id
      function = format.field(named: "func")
      self.depth = depth
      self.calltime = calltime
      self.rettime = rettime
      value = format.field(named: "retval")
    }
  }

  private let kind: Kind
  private let longSize: Int
  private let style: TraceTextReport.Style

  /// nil if the format is none of them, or lacks a field.
  init?(
    _ format: TraceEventFormat, longSize: Int, style: TraceTextReport.Style
  ) {
    guard format.system == "ftrace" else { return nil }
    func field(_ name: String) -> TraceEventFormat.Field? { format.field(named: name) }
    switch format.name {
    case "function":
      guard let address = field("ip"), let parent = field("parent_ip") else { return nil }
      kind = .function(address: address, parent: parent)
    case "func_repeats":
      guard let address = field("ip"), let parent = field("parent_ip"), let count = field("count"),
        let top = field("top_delta_ts"), let bottom = field("bottom_delta_ts")
      else { return nil }
      kind = .repeats(address: address, parent: parent, count: count, top: top, bottom: bottom)
    case "funcgraph_entry":
      guard let function = field("func"), let depth = field("depth") else { return nil }
      kind = .graphEntry(function: function, depth: depth)
    case "funcgraph_exit":
      guard let exit = GraphExit(format) else { return nil }
      kind = .graphExit(exit)
    case "kernel_stack":
      guard let callers = field("caller") else { return nil }
      kind = .stack(callers: callers, count: field("size"))
    case "user_stack" where style == .kernel:
      guard let callers = field("caller") else { return nil }
      kind = .userStack(callers: callers)
    case "raw_data":
      guard let identifier = field("id"), let content = field("buf") else { return nil }
      kind = .rawData(identifier: identifier, content: content)
    case "bprint":
      guard let address = field("ip"), let text = field("fmt"), let arguments = field("buf") else {
        return nil
      }
      kind = .binaryPrint(address: address, text: text, arguments: arguments)
    default: return nil
    }
    self.longSize = longSize
    self.style = style
  }

  /// Prints an entry; false if it is in the line of another.
  func append(
    _ event: PrintedEvent, _ record: RawSpan, _ state: inout PrintState, to line: inout [UInt8]
  ) -> Bool {
    switch kind {
    case .function(let address, let parent):
      appendFunction(event, record, address, parent, &state, to: &line)
    case .repeats(let address, let parent, let count, let top, let bottom):
      appendFunction(event, record, address, parent, &state, to: &line)
      let since = record.number(of: top) << 32 | record.number(of: bottom)
      line.append(" (count: ")
      line.appendDecimal(record.number(of: count))
      line.append("  last_ts: ")
      line.appendTime(event.timestamp &- since)
      line.append(")")
    case .graphEntry(let function, let depth):
      appendGraphEntry(event, record, function, depth, &state, to: &line)
    case .graphExit(let exit):
      let key = PrintState.key(event)
      if state.processors[key]?.printedExit == event.timestamp {
        state.processors[key]?.printedExit = nil
        return false
      }
      line.appendDuration(record.number(of: exit.rettime) &- record.number(of: exit.calltime))
      line.appendBlanks(Self.indentation(record.number(of: exit.depth)))
      line.append("}")
      appendValue(exit, record, to: &line)
    case .stack(let callers, let count):
      appendStack(record, callers, count, &state.environment, to: &line)
    case .userStack(let callers):
      line.append("<user stack trace>")
      let width = PrintWidth(size: longSize, isSigned: false)
      let end =
        callers.size == 0 ? record.byteCount : min(callers.offset + callers.size, record.byteCount)
      for place in stride(from: callers.offset, through: end - longSize, by: longSize) {
        let address = record.number(at: place, width)
        if address == 0 || address == width.narrowed(.max) { break }
        line.append("\n =>  <")
        line.appendHexadecimal(address, digits: longSize * 2)
        line.append(">")
      }
    case .rawData(let identifier, let content):
      line.append("# ")
      line.appendHexadecimal(record.number(of: identifier))
      for index in stride(from: content.offset, to: record.byteCount, by: 1) {
        line.append(" ")
        line.appendByte(record.byte(at: index))
      }
    case .binaryPrint(let address, let text, let arguments):
      state.environment.appendFunction(
        record.number(of: address), showsOffset: false, showsModule: style == .kernel, to: &line)
      line.append(": ")
      appendBinary(record, record.number(of: text), arguments.offset, &state, to: &line)
    }
    return true
  }

  // MARK: Functions

  /// Functions are indented below the one that called them, as far as it was recorded.
  private func appendFunction(
    _ event: PrintedEvent, _ record: RawSpan, _ address: TraceEventFormat.Field,
    _ parent: TraceEventFormat.Field,
    _ state: inout PrintState, to line: inout [UInt8]
  ) {
    let function = record.number(of: address)
    let found = state.environment.place(of: function)
    if let caller = state.environment.place(of: record.number(of: parent)) {
      let depth = state.processors[PrintState.key(event), default: PrintState.Processor()]
        .call(found?.start, from: caller.start)
      line.appendBlanks(depth * 3)
    }
    state.environment.appendFunction(
      function, showsOffset: false, showsModule: false, to: &line)
  }

  private func appendGraphEntry(
    _ event: PrintedEvent, _ record: RawSpan, _ function: TraceEventFormat.Field,
    _ depth: TraceEventFormat.Field,
    _ state: inout PrintState, to line: inout [UInt8]
  ) {
    let address = record.number(of: function)
    var leaf: (TraceRecord, GraphExit)?
    if let following = event.following, let exit = state.graphExit, following.event == exit.event,
      following.thread == event.thread, let ended = exit.function,
      unsafe following.payload.span.bytes.number(of: ended) == address
    {
      leaf = (following, exit)
    }
    if let (following, exit) = leaf {
      let bytes = unsafe following.payload.span.bytes
      line.appendDuration(bytes.number(of: exit.rettime) &- bytes.number(of: exit.calltime))
      state.processors[PrintState.key(event), default: PrintState.Processor()].printedExit =
        following.timestamp
    } else {
      line.append("             |  ")
    }
    line.appendBlanks(Self.indentation(record.number(of: depth)))
    state.environment.appendName(address, to: &line)
    line.append(leaf == nil ? "() {" : "();")
    if let (following, exit) = leaf {
      appendValue(exit, unsafe following.payload.span.bytes, to: &line)
    }
  }

  /// A damaged depth would fill the page with blanks.
  private static func indentation(_ depth: UInt64) -> Int { Int(min(depth & 0xffff_ffff, 200)) * 2 }

  /// What a function returned: errors as numbers, anything else in hexadecimal.
  private func appendValue(_ exit: GraphExit, _ record: RawSpan, to line: inout [UInt8]) {
    guard let field = exit.value else { return }
    let value = record.number(at: field.offset, PrintWidth(size: field.size, isSigned: true))
    if (-4095 ... -1).contains(Int64(bitPattern: value)) {
      line.append(" (ret=")
      line.appendDecimal(Int64(bitPattern: value))
    } else {
      line.append(" (ret=0x")
      line.appendHexadecimal(PrintWidth(size: field.size, isSigned: false).narrowed(value))
    }
    line.append(")")
  }

  // MARK: Stacks and texts

  private func appendStack(
    _ record: RawSpan, _ callers: TraceEventFormat.Field, _ count: TraceEventFormat.Field?,
    _ environment: inout PrintEnvironment, to line: inout [UInt8]
  ) {
    line.append("<stack trace >")
    let width = PrintWidth(size: longSize, isSigned: false)
    let available = max(0, record.byteCount - callers.offset) / longSize
    let frames =
      count.map { min(Int(clamping: Int64(bitPattern: record.number(of: $0))), available) }
      ?? available
    for index in stride(from: 0, to: frames, by: 1) {
      let address = record.number(at: callers.offset + index * longSize, width)
      if address == width.narrowed(.max) { break }
      line.append("\n=> ")
      if let place = environment.place(of: address) {
        line.append(environment.symbols.text, place.name)
        line.append(" (")
        line.appendHexadecimal(address)
        line.append(")")
      } else {
        line.appendHexadecimal(address)
      }
    }
  }

  private func appendBinary(
    _ record: RawSpan, _ address: UInt64, _ arguments: Int, _ state: inout PrintState,
    to line: inout [UInt8]
  ) {
    if state.printkFormats[address] == nil {
      state.printkFormats[address] = state.environment.printkTexts[address].map {
        BinaryPrintFormat($0, longSize: longSize, order: state.order)
      }
    }
    guard let format = state.printkFormats[address] else {
      line.append("(no text at ")
      line.appendHexadecimal(address)
      line.append(")")
      return
    }
    format.append(record, from: arguments, &state.environment, style: style, to: &line)
  }
}

extension PrintState.Processor {
  /// Notes a call, and returns how deep the caller is.
  fileprivate mutating func call(_ function: UInt64?, from caller: UInt64) -> Int {
    func put(_ function: UInt64?, at index: Int) {
      guard let function, index < 200 else { return }
      if index < functions.count { functions[index] = function } else { functions.append(function) }
    }
    if let index = functions.firstIndex(of: caller) {
      put(function, at: index + 1)
      return index
    }
    put(caller, at: 0)
    put(function, at: 1)
    return 0
  }
}

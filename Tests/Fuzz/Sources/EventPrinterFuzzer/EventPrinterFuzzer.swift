// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

@testable import CPUIsolationTrace

/// The lines of a format file, with a field of every kind.
private let fields = """
  \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
  \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
  \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
  \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

  \tfield:u8 a;\toffset:8;\tsize:1;\tsigned:0;
  \tfield:short b;\toffset:10;\tsize:2;\tsigned:1;
  \tfield:int c;\toffset:12;\tsize:4;\tsigned:1;
  \tfield:unsigned long d;\toffset:16;\tsize:8;\tsigned:0;
  \tfield:char e[8];\toffset:24;\tsize:8;\tsigned:0;
  \tfield:__data_loc char[] f;\toffset:32;\tsize:4;\tsigned:0;
  \tfield:__rel_loc u16[] g;\toffset:36;\tsize:4;\tsigned:0;
  \tfield:__data_loc cpumask_t h;\toffset:40;\tsize:4;\tsigned:0;
  \tfield:const char * i;\toffset:48;\tsize:8;\tsigned:0;
  \tfield:u32 j[];\toffset:56;\tsize:0;\tsigned:0;
  """

/// Fields of the entries of ftrace's own tracers, of the scheduler and of system calls.
private let entries: [(system: String, name: String, fields: String)] = [
  ("ftrace", "function", "ip parent_ip"), ("ftrace", "funcgraph_entry", "func depth"),
  ("ftrace", "funcgraph_exit", "func depth calltime rettime retval"),
  ("ftrace", "kernel_stack", "size caller"), ("ftrace", "user_stack", "tgid caller"),
  ("ftrace", "raw_data", "id buf"), ("ftrace", "bprint", "ip fmt buf"),
  ("ftrace", "func_repeats", "ip parent_ip count top_delta_ts bottom_delta_ts"),
  ("sched", "sched_switch", "prev_pid prev_prio prev_state next_pid next_prio"),
  ("timer", "hrtimer_start", "hrtimer function expires softexpires"),
  ("tlb", "tlb_flush", "pages reason"), ("kmem", "kfree", "call_site ptr"),
  ("syscalls", "sys_enter_close", "__syscall_nr fd"), ("syscalls", "sys_exit_close", "nr ret"),
]

private func format(_ system: String, _ name: String, _ lines: String, _ print: String)
  -> TraceEventFormat
{
  // The lines are this file's own.
  try! TraceEventFormat(
    parsing: "name: \(name)\nID: 1\nformat:\n\(lines)\n\nprint fmt: \(print)", system: system)
}

private let entryFormats = entries.map { entry in
  let names = entry.fields.split(separator: " ").enumerated()
  return format(
    entry.system, entry.name,
    names.map { "\tfield:long \($1);\toffset:\(8 + 8 * $0);\tsize:8;\tsigned:1;" }
      .joined(separator: "\n"), "\"\"")
}

private let recording: TraceRecording = {
  var recording = TraceRecording(cpuCount: 1)
  recording.nameSymbol("begin", at: 0)
  recording.nameSymbol("end", at: 1 << 32)
  return recording
}()

/// Prints a record in every way. Whatever it is, nothing stops the process, and lines stay short.
private func print(_ format: TraceEventFormat, _ record: [UInt8], printk text: [UInt8]) {
  for style in [TraceTextReport.Style.kernel, .traceCmd] {
    for longSize in [8, 4] {
      var state = PrintState(recording)
      state.printkFormats[0] = BinaryPrintFormat(text, longSize: longSize)
      let printer = EventPrinter(format, longSize: longSize, style: style)
      let event = PrintedEvent(cpu: 0, buffer: 0, timestamp: 1_000, thread: 1)
      var line: [UInt8] = []
      for _ in 0..<2 { _ = printer.append(event, record.span.bytes, &state, to: &line) }
      for field in format.fields {
        printer.append(field: field, record.span.bytes, &state.environment, to: &line)
      }
      precondition(line.count < 10_000_000)
    }
  }
}

/// Takes a letter, a text up to the first zero byte, and a record. The letter says what the text is:
/// `f` a `print fmt:` line, `p` the text of a `trace_printk`, `s` a list of symbols or of such texts;
/// others choose the entry of a tracer.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  guard let kind = input.first else { return 0 }
  let parts = input.dropFirst().split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
  let text = Array(parts[0])
  let record = [1, 0, 0, 0, 1, 0, 0, 0] + (parts.count > 1 ? Array(parts[1]) : [])
  switch kind {
  case UInt8(ascii: "f"):
    print(format("fuzz", "fuzz", fields, String(decoding: text, as: UTF8.self)), record, printk: [])
  case UInt8(ascii: "p"):
    for order in [TraceByteOrder.little, .big] {
      for longSize in [4, 8] {
        var environment = PrintEnvironment(symbols: recording.symbols, printkTexts: [:])
        var line: [UInt8] = []
        BinaryPrintFormat(text, longSize: longSize, order: order).append(
          record.span.bytes, from: 8, &environment, style: .kernel, to: &line)
      }
    }
  case UInt8(ascii: "s"):
    let symbols = TraceSymbols(text: text)
    for byte in record { _ = symbols.symbol(at: UInt64(byte) << 4) }
    _ = PrintkTexts.parse(text)
  default: print(entryFormats[Int(kind) % entryFormats.count], record, printk: text)
  }
  return 0
}

// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// System calls, which the kernel's `trace` file shows like calls of C: `sys_close(fd: 3)`, and at
/// their end `sys_close -> 0x0`.
///
/// - Source: the `trace` file of Linux 6.18.
struct SyscallEntry: Sendable {
  private let name: [UInt8]
  private let arguments: [TraceEventFormat.Field]
  private let result: TraceEventFormat.Field?

  /// nil if the format is no system call's, or has texts besides its arguments.
  init?(_ format: TraceEventFormat) {
    guard format.system == "syscalls", !format.fields.contains(where: \.isLocation) else {
      return nil
    }
    let fields = format.fields.filter {
      !$0.name.hasPrefix("common_") && $0.name != "__syscall_nr" && $0.name != "nr"
    }
    if format.name.hasPrefix("sys_enter_") {
      name = Array(("sys_" + format.name.dropFirst(10)).utf8)
      result = nil
      arguments = fields
    } else if format.name.hasPrefix("sys_exit_"), fields.count == 1 {
      name = Array(("sys_" + format.name.dropFirst(9)).utf8)
      result = fields[0]
      arguments = []
    } else {
      return nil
    }
  }

  func append(_ record: RawSpan, to line: inout [UInt8]) {
    line += name
    if let result {
      line.append(" -> 0x")
      line.appendHexadecimal(unsigned(result, record))
      return
    }
    line.append("(")
    for (index, argument) in arguments.enumerated() {
      if index > 0 { line.append(", ") }
      line += argument.name.utf8
      line.append(": ")
      let value = unsigned(argument, record)
      if value < 10 {
        line.appendDecimal(value)
      } else {
        line.append("0x")
        line.appendHexadecimal(value)
      }
    }
    line.append(")")
  }

  private func unsigned(_ field: TraceEventFormat.Field, _ record: RawSpan) -> UInt64 {
    record.number(at: field.offset, PrintWidth(size: field.size, isSigned: false))
  }
}

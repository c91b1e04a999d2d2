// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// An event with a field of every kind.
private let event = TraceEventFormat(
  system: "fuzz", name: "fuzz", id: 1,
  declaring: [
    .number("a", as: UInt8.self), .number("b", as: Int16.self), .number("c", as: Int64.self),
    .text("d", bytes: 5), .dynamicText("e"), .cpuMask("f"), .pointer("g"),
  ], printFormat: "")

private let symbols = SymbolTable([.init("h", 0x10..<0x20)])

/// Takes a filter, and after the first zero byte a record for it. Whatever they are, nothing stops
/// the process, and an error names a place within the text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  let parts = input.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
  let text = Array(parts[0])
  let record = parts.count > 1 ? Array(parts[1]) : []
  do {
    let cpuCount = 1 + (record.first.map(Int.init) ?? 0)
    let filter = try TraceFilter(utf8: text, for: event, cpuCount: cpuCount, symbols: symbols)
    _ = filter.matches(record.span.bytes, cpu: record.count, taskName: record.span.bytes)
    precondition(filter.description.hasSuffix("FALSE\n"))
  } catch {
    precondition((0...text.count).contains(error.position))
    precondition(error.report.contains("^"))
  }
  return 0
}

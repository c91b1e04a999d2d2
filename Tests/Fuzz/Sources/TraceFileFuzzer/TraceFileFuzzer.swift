// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace

/// Takes a trace.dat, and writes it as a report, for Perfetto and as a page. Whatever it is, nothing
/// stops the process: what cannot be read is an error, and the pages before it are written.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  do {
    let recording = try TraceRecording(bytes: input)
    for format in [.text, .perfetto, .html] as [TraceOutputFormat] {
      _ = try recording.encoded(as: format)
    }
  } catch {
    precondition(!"\(error)".isEmpty)
  }
  return 0
}

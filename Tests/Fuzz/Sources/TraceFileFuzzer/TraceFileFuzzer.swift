// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace

/// Takes a trace.dat, and prints it as a report. Whatever it is, nothing stops the process: what
/// cannot be read is an error, and the pages before it are printed.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  do {
    let recording = try TraceRecording(bytes: input)
    _ = try recording.encoded(as: .text)
  } catch {
    precondition(!"\(error)".isEmpty)
  }
  return 0
}

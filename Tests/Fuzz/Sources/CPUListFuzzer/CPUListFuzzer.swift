// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// Takes the width of a mask, in one byte, and a list of CPUs. What is accepted reads back as it is
/// printed; an error names a place within the list.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  guard let first = input.first else { return 0 }
  let text = String(decoding: input.dropFirst(), as: UTF8.self)
  let width = 1 + Int(first)
  do {
    let mask = try CPUMask(cpuList: text, width: width)
    precondition(mask.isEmpty || mask.last! < width)
    let again = try? CPUMask(cpuList: mask.description, width: width)
    precondition(again == mask)
  } catch {
    precondition((0...text.utf8.count).contains(error.position))
  }
  return 0
}

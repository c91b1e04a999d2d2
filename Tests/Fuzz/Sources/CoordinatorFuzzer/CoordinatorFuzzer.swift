// SPDX-License-Identifier: Apache-2.0

/// Takes a script of steps. Whatever it is, the coordinator and its reference agree after each.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do {
    try CoordinatorScript.follow(Array(UnsafeBufferPointer(start: start, count: count)))
  } catch {
    fatalError("\(error)")
  }
  return 0
}

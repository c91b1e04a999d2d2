// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("MappedMemory")
struct MappedMemoryTests {
  @Test(
    "memory is zero, on a page border, and as long as asked for", arguments: [1, 4_096, 70_400])
  func zeroed(byteCount: Int) throws {
    let memory = try MappedMemory(byteCount: byteCount)
    #expect(memory.byteCount == byteCount)
    #expect(memory.address.bits % 4_096 == 0)
    let bytes = unsafe UnsafeRawBufferPointer(start: memory.address.pointer, count: byteCount)
    #expect(unsafe bytes.allSatisfy { $0 == 0 })
  }

  @Test("nothing is one byte", arguments: [0, -1])
  func atLeastOne(byteCount: Int) throws {
    let memory = try MappedMemory(byteCount: byteCount)
    #expect(memory.byteCount == 1)
  }

  @Test("more than the address space is an error with a number")
  func outOfMemory() {
    let error = #expect(throws: IsolationError.self) { _ = try MappedMemory(byteCount: 1 << 60) }
    #expect(error?.code == .outOfMemory)
    #expect(error?.errno == 12)
  }
}

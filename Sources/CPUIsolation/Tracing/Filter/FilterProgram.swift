// SPDX-License-Identifier: Apache-2.0

/// A filter in the form in which it is asked: a header, the instructions, and behind them the masks
/// and texts that they name, in one allocation.
///
/// It is a bare address, so that a tracepoint can keep it in raw memory; whoever made it frees it.
///
/// Nobody writes into it after it is made, so threads can share it.
@safe
struct FilterProgram: @unchecked Sendable {  // constant memory
  /// What stands before the first instruction.
  struct Header {
    /// A record shorter than this matches nothing.
    var shortestRecord: Int
    /// How many CPUs there are: the width of every mask.
    var cpuCount: Int
    /// The distance from the first instruction to the masks and texts.
    var constants: Int
  }

  let base: UnsafeRawPointer

  var header: Header {
    // Safety: the memory begins with it, from initialisation on.
    unsafeAddress { unsafe base.assumingMemoryBound(to: Header.self) }
  }

  var instructions: Table<FilterInstruction> {
    // Safety: they follow the header, and nobody writes them.
    unsafe Table(UnsafeMutableRawPointer(mutating: base + Self.headerSize))
  }

  /// The masks and texts: operands are distances from here.
  func constant(of instruction: Place<FilterInstruction>, count: Int) -> FilterBytes {
    // Safety: the compiler of the program put it there.
    unsafe FilterBytes(
      start: base + Self.headerSize + header.constants
        + Int(truncatingIfNeeded: instruction.value.operand), count: count)
  }

  private static var headerSize: Int { 32 }

  /// Copies a program into memory of its own.
  init(
    _ instructions: [FilterInstruction], constants: [UInt8], shortestRecord: Int, cpuCount: Int
  ) {
    let codeSize = instructions.count * MemoryLayout<FilterInstruction>.stride
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: Self.headerSize + codeSize + constants.count, alignment: 16)
    let header = Header(
      shortestRecord: shortestRecord, cpuCount: cpuCount, constants: codeSize)
    unsafe memory.bindMemory(to: Header.self, capacity: 1).initialize(to: header)
    let code = unsafe memory + Self.headerSize
    unsafe code.withMemoryRebound(to: FilterInstruction.self, capacity: instructions.count) {
      for (index, instruction) in instructions.enumerated() {
        unsafe ($0 + index).initialize(to: instruction)
      }
    }
    let bytes = unsafe UnsafeMutableRawBufferPointer(
      start: code + codeSize, count: constants.count)
    unsafe bytes.copyBytes(from: constants)
    unsafe base = UnsafeRawPointer(memory)
  }

  /// The program at an address that a tracepoint kept.
  init(base: UnsafeRawPointer) { unsafe self.base = unsafe base }

  func deallocate() { unsafe base.deallocate() }
}

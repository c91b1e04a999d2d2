// SPDX-License-Identifier: Apache-2.0

/// A filter in the form in which it is asked: a header, the instructions, and after them the masks
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

  let base: Address

  var header: Header {
    // Safety: the memory begins with it, from initialisation on.
    unsafeAddress { unsafe base.line(Header.self, at: 0) }
  }

  var instructions: Table<FilterInstruction> {
    // Safety: they follow the header, and nobody writes them.
    unsafe Table(base + Self.headerSize)
  }

  /// The masks and texts: operands are distances from here.
  private var constants: Address { base + Self.headerSize + header.constants }

  func constant(of instruction: Place<FilterInstruction>, count: Int) -> FilterBytes {
    // Safety: the compiler of the program put it there.
    FilterBytes(
      start: constants + Int(truncatingIfNeeded: instruction.value.operand), count: count)
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
    // Safety: new memory, until `deallocate`.
    base = unsafe Address(memory)
    // Safety: the memory is new, and as long.
    unsafe Place(base).initialize(to: header)
    let code = unsafe Table<FilterInstruction>(base + Self.headerSize)
    for (index, instruction) in instructions.enumerated() {
      code.place(index).initialize(to: instruction)
    }
    let bytes = unsafe UnsafeMutableRawBufferPointer(
      start: memory + Self.headerSize + codeSize, count: constants.count)
    unsafe bytes.copyBytes(from: constants)
  }

  /// The program at an address that a tracepoint kept.
  init(base: Address) { self.base = base }

  // Safety: the filter has ended.
  func deallocate() { unsafe base.pointer.deallocate() }
}

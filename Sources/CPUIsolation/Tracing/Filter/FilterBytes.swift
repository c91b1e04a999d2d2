// SPDX-License-Identifier: Apache-2.0

/// Bytes that a filter looks at: a record, a field of it, a name, or a constant of the program.
///
/// Positions are checked in debug builds alone: the shortest record that a program takes, and what
/// its compiler wrote, keep them inside.
@safe
struct FilterBytes {
  private let start: Address
  let count: Int

  @inline(__always)
  init(start: Address, count: Int) {
    self.start = start
    self.count = count
  }

  /// Bytes that may be nowhere, and none then: there is an address all the same.
  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    // Safety: the bytes are there; where there are none, any address will do.
    let start = unsafe bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16).unsafelyUnwrapped
    unsafe self.init(
      start: Address(UnsafeMutableRawPointer(mutating: start)), count: bytes.count)
  }

  @inline(__always)
  subscript(index: Int) -> UInt8 { load(at: index) }

  @inline(__always)
  func part(from first: Int, count: Int) -> FilterBytes {
    assert(first >= 0 && count >= 0 && first &+ count <= self.count)
    return FilterBytes(start: start + first, count: count)
  }

  /// A number at any address, as the processor keeps it.
  @inline(__always)
  func load<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Number {
    assert(offset >= 0 && offset &+ MemoryLayout<Number>.size <= count)
    // Safety: the number is inside, as the type says.
    return unsafe start.pointer.loadUnaligned(fromByteOffset: offset, as: Number.self)
  }
}

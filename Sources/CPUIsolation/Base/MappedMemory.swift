// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// The distance that keeps two writers off each other's cache line.
///
/// 128 bytes and not 64: Intel's processors since Sandy Bridge fetch lines in adjacent pairs, and
/// several arm64 cores have lines of 128 bytes. **Sources:** Intel 64 Optimization Reference
/// Manual, "Data Prefetching"; crossbeam-utils `CachePadded`.
@usableFromInline let cacheLineStride = 128

/// Zeroed memory that begins on a page border and is given back when the value ends.
///
/// Swift types are aligned to 16 bytes at most, so only a base address and strides in multiples of
/// `cacheLineStride` put fields on lines of their own. Pages that are never touched cost nothing,
/// which is why the tables here may be as wide as the masks.
// Sendable: an address and a size that never change.
@safe
struct MappedMemory: ~Copyable, @unchecked Sendable {
  let address: Address
  let byteCount: Int

  /// Maps at least one byte. The mapping is reserved lazily, so it fails only when the address
  /// space is full.
  init(byteCount: Int) throws(IsolationError) {
    let size = max(byteCount, 1)
    // Safety: new memory, until `deinit`.
    guard let address = unsafe cpi_map_zeroed(size) else {
      throw IsolationError(.outOfMemory, errno: 12, "cannot map \(size) bytes")
    }
    self.address = unsafe Address(address)
    self.byteCount = size
  }

  // Safety: whoever made a view of the memory has seen to it that it has ended.
  deinit { unsafe cpi_unmap(address.pointer, byteCount) }
}

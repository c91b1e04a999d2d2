// SPDX-License-Identifier: Apache-2.0

/// The mapping of a pool, and what ends the elements in it.
final class PoolMemory: Sendable {
  let mapping: MappedMemory
  /// Ends the objects, all of which are at home, of the pool with the control at this address.
  let end: @Sendable (Address) -> Void

  init(byteCount: Int, end: @escaping @Sendable (Address) -> Void) throws(IsolationError) {
    mapping = try MappedMemory(byteCount: byteCount)
    self.end = end
  }
}

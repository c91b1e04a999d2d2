// SPDX-License-Identifier: Apache-2.0

/// The mapping of a pool, and what ends the elements in it.
final class PoolMemory: Sendable {
  let mapping: MappedMemory
  /// Ends the objects, all of which are at home.
  let end: @Sendable (PoolCore) -> Void

  init(byteCount: Int, end: @escaping @Sendable (PoolCore) -> Void) throws(IsolationError) {
    mapping = try MappedMemory(byteCount: byteCount)
    self.end = end
  }
}

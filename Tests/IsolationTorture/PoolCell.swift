// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// An element of an object pool: who has it; 0 in the pool.
struct PoolCell: ~Copyable, Sendable {
  let holder = Atomic<UInt64>(0)
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A node that readers protect: the number that it was published with, 0 once it was reclaimed.
struct HazardNode: ~Copyable {
  let stamp = Atomic<UInt64>(0)
}

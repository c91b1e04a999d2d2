// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension Strength {
  public init(_ ordering: AtomicLoadOrdering) {
    self.init(
      acquires: ordering != .relaxed, releases: false,
      isSequentiallyConsistent: ordering == .sequentiallyConsistent)
  }

  public init(_ ordering: AtomicStoreOrdering) {
    self.init(
      acquires: false, releases: ordering != .relaxed,
      isSequentiallyConsistent: ordering == .sequentiallyConsistent)
  }

  public init(_ ordering: AtomicUpdateOrdering) {
    let isConsistent = ordering == .sequentiallyConsistent
    let isBoth = isConsistent || ordering == .acquiringAndReleasing
    self.init(
      acquires: isBoth || ordering == .acquiring, releases: isBoth || ordering == .releasing,
      isSequentiallyConsistent: isConsistent)
  }
}

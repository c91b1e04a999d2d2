// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The memory of batches that hold nothing: kept for the next ones.
extension HazardScanner {
  func takeEmptyBatch() -> HazardBatch {
    guard let first = core.scan.spare.takeAll() else { return HazardBatch.make() }
    var rest = Inbox.next(after: first)
    while let node = rest {
      rest = Inbox.next(after: node)
      _ = core.scan.spare.push(node)
    }
    core.scan.spareCount.wrappingAdd(0 &- 1, ordering: .relaxed)
    Inbox.setNext(after: first, nil)
    return HazardBatch(first)
  }

  func putAside(_ batch: HazardBatch) {
    batch.count = 0
    batch.byteCount = 0
    if core.scan.spareCount.load(ordering: .relaxed) >= Limits.spareBatches {
      return batch.free()
    }
    core.scan.spareCount.wrappingAdd(1, ordering: .relaxed)
    _ = core.scan.spare.push(batch.node)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The memory of batches that hold nothing: kept for the next ones.
extension HazardScanner {
  func takeEmptyBatch() -> HazardBatch {
    let stack = unsafe core.scan
    guard let first = unsafe stack.pointee.spare.takeAll() else { return HazardBatch.make() }
    var rest = unsafe Inbox.next(after: first)
    while let node = unsafe rest {
      unsafe rest = unsafe Inbox.next(after: node)
      _ = unsafe stack.pointee.spare.push(node)
    }
    unsafe stack.pointee.spareCount.wrappingAdd(0 &- 1, ordering: .relaxed)
    unsafe Inbox.setNext(after: first, nil)
    return unsafe HazardBatch(first)
  }

  func putAside(_ batch: HazardBatch) {
    batch.count = 0
    let stack = unsafe core.scan
    if unsafe stack.pointee.spareCount.load(ordering: .relaxed) >= Limits.spareBatches {
      return batch.free()
    }
    unsafe stack.pointee.spareCount.wrappingAdd(1, ordering: .relaxed)
    _ = unsafe stack.pointee.spare.push(batch.base)
  }
}

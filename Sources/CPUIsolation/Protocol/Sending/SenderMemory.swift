// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The memory of one sender slot: kept until the coordinator ends, so that its counts stay.
final class SenderMemory: Sendable {
  private let memory: MappedMemory
  let slot: SenderSlot

  init(cpus: Int, isShared: Bool) throws(IsolationError) {
    memory = try MappedMemory(byteCount: SenderSlot.byteCount(cpus: cpus))
    slot = SenderSlot(base: memory.address, cpus: cpus)
    slot.initialize(isShared: isShared)
  }
}

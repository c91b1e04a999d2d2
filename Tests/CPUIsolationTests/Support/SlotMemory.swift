// SPDX-License-Identifier: Apache-2.0

import Synchronization

@testable import CPUIsolation

/// Slots without a coordinator: the transitions of several CPUs, made by the test's own thread, in
/// any order it likes.
// Sendable: as CPUSlots.
final class SlotMemory: Sendable {
  private let memory: MappedMemory
  let slots: CPUSlots

  init(cpus: Int) throws {
    memory = try MappedMemory(byteCount: 128 + cpus * CPUSlot.stride)
    slots = CPUSlots(base: memory.address + 128, count: cpus)
    for cpu in 0..<cpus { slots[cpu].initialize() }
  }

  /// A summary of catch-up types that never moves, unless a test moves it.
  // Safety: a zeroed word before the slots.
  var summary: Place<SharedWord> { unsafe Place(memory.address) }

  func tracker(_ cpu: Int) -> ContextTracker { ContextTracker(slots[cpu]) }

  /// W as anybody sees it.
  func word(_ cpu: Int) -> ContextWord {
    ContextWord(
      rawValue: slots[cpu].state.word.load(ordering: .sequentiallyConsistent))
  }
}

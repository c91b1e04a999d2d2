// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Coordinator.Statistics {
  /// Adds what one sender has counted.
  static func add(_ cell: Place<SenderCell>, to counts: inout Work) {
    let merged = cell.value.merged.load(ordering: .relaxed)
    let deferred = cell.value.deferredInUser.load(ordering: .relaxed)
    let sent = cell.value.sent.load(ordering: .relaxed) + merged + deferred
    let skipped = cell.value.skipped.load(ordering: .relaxed)
    // The watchdog kicks, and sends nothing.
    let interrupted = cell.value.interrupted.load(ordering: .relaxed)
    let escalated = cell.value.escalated.load(ordering: .relaxed)
    if sent | skipped | interrupted | escalated == 0 { return }
    counts.sent += sent
    counts.skipped += skipped
    counts.interrupted += interrupted
    counts.escalated += escalated
    counts.merged += merged
    counts.deferred += deferred + cell.value.deferred.load(ordering: .relaxed)
    counts.queued += cell.value.queued.load(ordering: .relaxed)
    counts.ranInline += cell.value.ranInline.load(ordering: .relaxed)
    counts.ranOnBehalf += cell.value.ranOnBehalf.load(ordering: .relaxed)
    counts.gone += cell.value.gone.load(ordering: .relaxed)
  }

  /// Adds the sends of catch-up types, which have no cell for each target.
  static func addBroadcasts(
    of senders: [SenderSlot], _ core: CoordinatorCore, types: Int, to work: inout [Work]
  ) {
    let catchUp = core.line.catchUp.load(ordering: .relaxed)
    for type in 0..<types where catchUp >> UInt64(type) & 1 != 0 {
      for sender in senders {
        let row = sender.broadcasts(ofType: UInt64(type), cpus: core.slots.count)
        for (place, cpu) in core.cpus.enumerated() {
          let covered = row[cpu].load(ordering: .relaxed)
          work[place * types + type].sent += covered
          work[place * types + type].deferred += covered
        }
      }
    }
  }

  static func countCatchUp(
    _ counts: inout Work, _ core: CoordinatorCore, _ cpu: Int, _ type: UInt64
  ) {
    guard core.line.catchUp.load(ordering: .relaxed) >> type & 1 != 0 else { return }
    let slot = core.slots[cpu]
    let applied = slot.applied[Int(type)].load(ordering: .relaxed)
    let generation = core.generations[type].load(ordering: .relaxed)
    counts.caughtUp = slot.catchUps[Int(type)].load(ordering: .relaxed)
    if slot.state.isOwned.load(ordering: .relaxed) != 0, generation > applied {
      counts.lag = generation - applied
    }
  }
}

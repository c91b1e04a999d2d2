// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What one housekeeper does in earnest, callback by callback. It belongs to the housekeeper's
/// thread.
struct Upkeep: ~Copyable {
  private let experiment: Experiment
  private let index: Int
  private var keeper: LivePages.Keeper
  private var patches = 0
  private var changes = 0

  private var live: LiveState { experiment.live }

  /// How many patches there are to a turn of the key.
  private static let patchesPerTurn = 4
  /// One change in so many is of a page; the others are of handles, the next one each time.
  private static let changesPerPage = 5

  init(_ experiment: Experiment, _ index: Int) throws(IsolationError) {
    self.experiment = experiment
    self.index = index
    keeper = try LivePages.Keeper(experiment.live.pages, index)
  }

  /// Does what a burst of a callback is sent for; false if there is nothing like that here.
  mutating func perform(_ callback: Callback, to cpu: Int) throws(IsolationError) -> Bool {
    switch callback {
    case .syncCore:
      patches += 1
      if patches % Self.patchesPerTurn == 0 { try live.keys.turn(by: index) }
      guard let text = live.text else { return false }
      // One patch sends three times, or once where an instruction is written at once.
      try text.patch(by: index)
    case .flushTLBAll:
      for _ in 0..<callback.burst { try keeper.turnOver() }
    case .flushTLBRange:
      changes += 1
      if changes % Self.changesPerPage == 0 { keeper.replace() } else { exchange() }
    case .nohzKick:
      live.timers.bringForward(on: cpu, by: index)
    case .plainCall:
      return false
    }
    return true
  }

  private func exchange() {
    let handles = live.memory.handles(of: index)
    live.handles.exchange(
      handles.lowerBound + UInt64(changes % LiveMemory.handles), by: index,
      experiment.work(.flushTLBRange),
      experiment.coordinator, urgency: experiment.mode.urgency)
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What one housekeeper does in earnest, callback by callback. It belongs to the housekeeper's
/// thread.
struct Upkeep: ~Copyable {
  private let experiment: Experiment
  private let index: Int
  private var keeper: LivePages.Keeper
  private var patches = 0
  private var nextHandle = 0

  private var live: LiveState { experiment.live }

  /// How many patches there are to a turn of the key.
  private static let patchesPerTurn = 4

  init(_ experiment: Experiment, _ index: Int) throws(CoordinatorError) {
    self.experiment = experiment
    self.index = index
    keeper = try LivePages.Keeper(experiment.live.pages, index)
  }

  /// Does what a burst of a callback is sent for; false if there is nothing like that here.
  mutating func perform(_ callback: Callback, to cpu: Int) throws(CoordinatorError) -> Bool {
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
      keeper.replace()
      for _ in 1..<callback.burst { exchange() }
    case .nohzKick:
      live.timers.bringForward(on: cpu, by: index)
    case .plainCall:
      return false
    }
    return true
  }

  private mutating func exchange() {
    let handles = live.memory.handles(of: index)
    nextHandle = (nextHandle + 1) % LiveMemory.handles
    live.handles.exchange(
      handles.lowerBound + UInt64(nextHandle), by: index, experiment.work(.flushTLBRange),
      experiment.coordinator, urgency: experiment.mode.urgency)
  }
}

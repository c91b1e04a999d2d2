// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// A static key for each housekeeper. In odd versions it is on.
///
/// Keys interrupt nobody in either mode, so that they have no row in the tables.
final class LiveKeys: Sendable {
  private let keys: StaticKeys
  private let all: [StaticKey]
  private let versions: Versions

  init(_ coordinator: Coordinator, housekeepers: Int) throws(IsolationError) {
    let keys = try StaticKeys(coordinator)
    var all: [StaticKey] = []
    for index in 0..<housekeepers { all.append(try keys.makeKey("key \(index)")) }
    self.keys = keys
    self.all = all
    versions = Versions(count: housekeepers)
  }

  /// Turns the housekeeper's key.
  func turn(by housekeeper: Int) throws(IsolationError) {
    let version = versions.begin(housekeeper)
    if version & 1 != 0 {
      try keys.enable(all[housekeeper])
    } else {
      try keys.disable(all[housekeeper])
    }
    versions.finish(housekeeper, at: version)
  }

  /// What a key says, in user or in kernel.
  @inline(__always)
  func isOn(_ index: Int, on cpu: borrowing LocalCPU) -> Bool { all[index].isEnabled(on: cpu) }

  /// Reads a key in kernel, and judges it.
  @inline(__always)
  func look(at index: Int, on cpu: borrowing LocalCPU, _ legality: Legality, _ place: Place) {
    let lowest = versions.lowest(index)
    let isOn = isOn(index, on: cpu)
    let highest = versions.highest(index)
    if lowest == highest, isOn != (lowest & 1 != 0) {
      legality.note(
        Violation(
          .key, at: place, thing: UInt64(index), seen: isOn ? 1 : 0, legal: lowest...highest))
    }
  }
}

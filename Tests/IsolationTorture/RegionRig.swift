// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A map of regions: whatever an address leads to, contains it and has its value, the address less its lowest 20 bits.
final class RegionRig: Sendable {
  private static let families = 24
  private let map: RegionMap<UInt64>

  init() throws(IsolationError) { map = try RegionMap(capacity: 64) }

  private func address(_ turn: inout Turn) -> UInt64 {
    UInt64(turn.random.below(Self.families)) << 20 | turn.random.next() & 0xfffff
  }

  func change(_ turn: inout Turn) {
    let address = address(&turn)
    let family = address >> 20
    let value = turn.bug == .wrongRegion && turn.random.oneIn(4) ? family + 1 : family
    switch turn.random.below(8) {
    case 0..<3:
      let end = min(address + 1 + turn.random.next() & 0xffff, (family + 1) << 20)
      _ = map.insert(value, over: address..<max(end, address + 1))
    case 3: _ = map.remove(at: address)
    case 4: _ = map.split(at: address)
    case 5:
      if let bounds = map.lookUp(address)?.bounds {
        _ = bounds.upperBound & 0xfffff == 0 ? .nothing : map.merge(at: bounds.upperBound)
      }
    case 6: _ = map.update(at: address, to: value)
    default:
      for region in map.removeAll(overlapping: address..<address + 0x1000) {
        check(region.bounds.lowerBound, region, &turn)
      }
    }
    turn.count(.regionChange)
    if turn.random.oneIn(256) { checkAll(&turn) }
  }

  /// By any thread; a CPU in user looks without the lock.
  func look(mayWait: Bool, _ turn: inout Turn) {
    let address = address(&turn)
    let region = mayWait ? map.lookUp(address) : map.lookUpSpeculatively(address)
    if let region { check(address, region, &turn) }
    turn.count(.regionLookUp)
  }

  private func check(
    _ address: UInt64, _ region: RegionMap<UInt64>.Region, _ turn: inout Turn
  ) {
    turn.check(
      region.bounds.contains(address) && region.value == address >> 20,
      "address \(address) leads to the region \(region.bounds) of \(region.value)")
  }

  private func checkAll(_ turn: inout Turn) {
    var end: UInt64 = 0
    for region in map.regions {
      turn.check(
        region.bounds.lowerBound >= end && !region.bounds.isEmpty, "regions are out of order")
      end = region.bounds.upperBound
    }
  }

  /// Takes all the room that there is, and gives it back.
  func exhaust(_ turn: inout Turn) {
    let first = UInt64(Self.families) << 20
    var count: UInt64 = 0
    while count < 100, map.insert(first >> 20, over: first + count..<first + count + 1) == .inserted
    {
      count += 1
    }
    turn.check(count <= UInt64(map.capacity), "a map has more regions than room")
    _ = map.removeAll(overlapping: first..<first + 100)
  }
}

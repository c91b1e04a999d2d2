// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("RegionMap")
struct RegionMapTests {
  @Test("an address is found in its region, and not beside it")
  func borders() throws {
    let map = try RegionMap<UInt32>(capacity: 4)
    #expect(map.lookUp(0) == nil)
    #expect(map.insert(7, over: 100..<200) == .inserted)
    #expect(map.lookUp(99) == nil)
    #expect(map.lookUp(200) == nil)
    for address in [100, 150, 199] as [UInt64] {
      let region = try #require(map.lookUp(address))
      #expect(region.bounds == 100..<200)
      #expect(region.value == 7)
      #expect(map.lookUpSpeculatively(address)?.value == 7)
    }
    #expect(map.lookUpSpeculatively(99) == nil)
  }

  @Test("the first and the last address that a range can have")
  func extremes() throws {
    let map = try RegionMap<UInt64>(capacity: 3)
    #expect(map.insert(1, over: 0..<1) == .inserted)
    #expect(map.insert(2, over: UInt64.max - 1..<UInt64.max) == .inserted)
    #expect(map.insert(3, over: 1..<UInt64.max - 1) == .inserted)
    #expect(map.lookUp(0)?.value == 1)
    #expect(map.lookUp(.max - 1)?.value == 2)
    #expect(map.lookUp(.max - 2)?.value == 3)
    #expect(map.lookUp(.max) == nil)
    #expect(map.insert(4, over: 0..<UInt64.max) == .overlaps(UInt64.max - 1..<UInt64.max))
  }

  @Test("a region that overlaps, is empty or finds no room is refused, and changes nothing")
  func refusals() throws {
    let map = try RegionMap<UInt8>(capacity: 2)
    #expect(map.insert(1, over: 10..<20) == .inserted)
    for bounds in [0..<11, 19..<30, 10..<20, 12..<13, 0..<30] as [Range<UInt64>] {
      #expect(map.insert(2, over: bounds) == .overlaps(10..<20))
    }
    #expect(map.insert(2, over: 15..<15) == .empty)
    #expect(map.insert(2, over: 20..<30) == .inserted)
    #expect(map.insert(3, over: 40..<50) == .full)
    #expect(map.split(at: 15) == .full)
    #expect(map.regions.map(\.bounds) == [10..<20, 20..<30])
    #expect(map.remove(at: 5) == nil)
    #expect(map.removeAll(overlapping: 30..<30).isEmpty)
    #expect(map.removeAll(overlapping: 30..<90).isEmpty)
    #expect(map.update(at: 30, to: 1) == nil)
  }

  @Test("a region is split, its halves have values of their own, and they are merged again")
  func reshaping() throws {
    let map = try RegionMap<Int>(capacity: 8)
    #expect(map.insert(-1, over: 0..<100) == .inserted)
    #expect(map.split(at: 0) == .nothing)
    #expect(map.split(at: 100) == .nothing)
    #expect(map.split(at: 60) == .done)
    #expect(map.split(at: 80, upper: 5) == .done)
    #expect(map.regions.map(\.bounds) == [0..<60, 60..<80, 80..<100])
    #expect(map.regions.map(\.value) == [-1, -1, 5])
    #expect(map.merge(at: 70) == .nothing)
    #expect(map.merge(at: 0) == .nothing)
    #expect(map.merge(at: 80) == .done)
    #expect(map.merge(at: 60) == .done)
    #expect(map.regions.map(\.bounds) == [0..<100])
    #expect(map.update(at: 99, to: 9)?.value == -1)
    #expect(map.lookUp(50)?.value == 9)
  }

  @Test("what a range cuts is taken out whole, in one change")
  func removingARange() throws {
    let map = try RegionMap<Int>(capacity: 100)
    for index in 0..<100 as Range<UInt64> {
      #expect(map.insert(Int(index), over: index * 10..<index * 10 + 5) == .inserted)
    }
    let before = map.storage.tree.header.value.sequence.load(ordering: .relaxed)
    #expect(map.removeAll(overlapping: 203..<500).map(\.value) == Array(20..<50))
    #expect(
      map.storage.tree.header.value.sequence.load(ordering: .relaxed) == before + 2)
    #expect(map.count == 70)
    #expect(map.lookUp(200) == nil)
    #expect(map.lookUp(500)?.value == 50)
  }

  @Test("values of every size come back whole")
  func values() throws {
    struct Wide: BitwiseCopyable, Sendable, Equatable {
      var first: UInt64 = 1
      var second: UInt16 = 2
      var rest: (UInt64, UInt64, UInt64, UInt64) = (3, 4, 5, 6)
      static func == (left: Wide, right: Wide) -> Bool {
        left.first == right.first && left.second == right.second && left.rest == right.rest
      }
    }
    let wide = try RegionMap<Wide>(capacity: 1)
    #expect(wide.insert(Wide(), over: 1..<2) == .inserted)
    #expect(wide.lookUp(1)?.value == Wide())
    let flag = try RegionMap<Bool>(capacity: 1)
    #expect(flag.insert(true, over: 1..<2) == .inserted)
    #expect(flag.lookUp(1)?.value == true)
    let nothing = try RegionMap<Void?>(capacity: 1)
    #expect(nothing.insert((), over: 1..<2) == .inserted)
    #expect(nothing.lookUp(1) != nil)
  }

  @Test("lookups are counted by how they end")
  func counters() throws {
    let map = try RegionMap<UInt64>(capacity: 4)
    #expect(map.insert(1, over: 0..<10) == .inserted)
    for _ in 0..<5 { _ = map.lookUp(3) }
    _ = map.lookUp(10)
    _ = map.lookUpSpeculatively(10)
    // A change that goes on for ever, as a reader sees it.
    let header = map.storage.tree.header
    header.value.sequence.store(1, ordering: .relaxed)
    #expect(map.lookUpSpeculatively(3) == nil)
    #expect(map.lookUp(3)?.value == 1)
    header.value.sequence.store(2, ordering: .relaxed)
    let counts = map.statistics
    #expect(counts.hits == 5)
    #expect(counts.unknown == 2)
    #expect(counts.writerActive == 2)
    #expect(counts.changed == 0)
    #expect(counts.locked == 2)
  }

  @Test("the sequence wraps without a lookup that goes wrong")
  func wrap() throws {
    let map = try RegionMap<UInt64>(capacity: 4)
    map.storage.tree.header.value.sequence.store(.max - 1, ordering: .relaxed)
    #expect(map.insert(1, over: 0..<10) == .inserted)
    #expect(map.storage.tree.header.value.sequence.load(ordering: .relaxed) == 0)
    #expect(map.lookUpSpeculatively(3)?.value == 1)
  }

  /// What a map does, done on a list.
  private struct Oracle {
    var regions: [(bounds: Range<UInt64>, value: UInt64)] = []

    func index(of address: UInt64) -> Int? { regions.firstIndex { $0.bounds.contains(address) } }
    mutating func insert(_ value: UInt64, _ bounds: Range<UInt64>) {
      let place = regions.firstIndex { $0.bounds.lowerBound > bounds.lowerBound } ?? regions.count
      regions.insert((bounds, value), at: place)
    }
  }

  @Test("whatever is done to it, it says what a list says", arguments: [1, 2, 3, 4] as [UInt64])
  func differential(seed: UInt64) throws {
    let capacity = seed == 4 ? 40 : 400
    let map = try RegionMap<UInt64>(capacity: capacity)
    var oracle = Oracle()
    var random = SplitMix(state: seed)
    for round in 0..<3000 {
      let span: UInt64 = 4000
      let address = random.next() % span
      let bounds = address..<min(span, address + 1 + random.next() % 12)
      // In turn more comes, and more goes.
      let comes = random.next() % 8 < (round / 500 % 2 == 0 ? 5 : 2)
      switch random.next() % 16 {
      case 0:
        let outcome = map.split(at: address, upper: UInt64(round))
        if let index = oracle.index(of: address),
          oracle.regions[index].bounds.lowerBound < address
        {
          if oracle.regions.count == capacity {
            #expect(outcome == .full)
          } else {
            #expect(outcome == .done)
            let old = oracle.regions[index].bounds
            oracle.regions[index].bounds = old.lowerBound..<address
            oracle.insert(UInt64(round), address..<old.upperBound)
          }
        } else {
          #expect(outcome == .nothing)
        }
      case 1:
        let outcome = map.merge(at: address)
        if let upper = oracle.regions.firstIndex(where: { $0.bounds.lowerBound == address }),
          upper > 0, oracle.regions[upper - 1].bounds.upperBound == address
        {
          #expect(outcome == .done)
          let old = oracle.regions.remove(at: upper).bounds
          oracle.regions[upper - 1].bounds =
            oracle.regions[upper - 1].bounds.lowerBound..<old.upperBound
        } else {
          #expect(outcome == .nothing)
        }
      case 2:
        let removed = map.removeAll(overlapping: bounds).map(\.bounds)
        #expect(removed == oracle.regions.map(\.bounds).filter { $0.overlaps(bounds) })
        oracle.regions.removeAll { $0.bounds.overlaps(bounds) }
      case 3...9 where comes, 10... where comes:
        let outcome = map.insert(UInt64(round), over: bounds)
        if oracle.regions.contains(where: { $0.bounds.overlaps(bounds) }) {
          guard case .overlaps(let other) = outcome else {
            Issue.record("\(outcome)")
            break
          }
          #expect(other.overlaps(bounds) && oracle.regions.contains { $0.bounds == other })
        } else if oracle.regions.count == capacity {
          #expect(outcome == .full)
        } else {
          #expect(outcome == .inserted)
          oracle.insert(UInt64(round), bounds)
        }
      default:
        let removed = map.remove(at: address)
        let index = oracle.index(of: address)
        #expect(removed?.bounds == index.map { oracle.regions[$0].bounds })
        if let index { oracle.regions.remove(at: index) }
      }
      let probe = random.next() % span
      let found = map.lookUp(probe)
      #expect(found?.bounds == oracle.index(of: probe).map { oracle.regions[$0].bounds })
      #expect(found?.value == oracle.index(of: probe).map { oracle.regions[$0].value })
    }
    let regions = map.regions
    #expect(regions.map(\.bounds) == oracle.regions.map(\.bounds))
    #expect(regions.map(\.value) == oracle.regions.map(\.value))
    #expect(!regions.isEmpty)
    map.removeAll(overlapping: 0..<UInt64.max)
    #expect(map.count == 0)
    // All memory has come back but the root.
    let used = map.storage.tree.header.value.usedNodes.load(ordering: .relaxed)
    #expect(used == 1)
  }

  @Test("a full map of sparse leaves has room for every region that it promised")
  func sparse() throws {
    let map = try RegionMap<UInt64>(capacity: 2000)
    for index in 0..<2000 as Range<UInt64> {
      #expect(map.insert(index, over: index * 4..<index * 4 + 1) == .inserted)
    }
    for round in 0..<4 as Range<UInt64> {
      for index in 0..<2000 as Range<UInt64> where index % 14 != round {
        #expect(map.remove(at: index * 4)?.value == index)
      }
      for index in 0..<2000 as Range<UInt64> where index % 14 != round {
        #expect(map.insert(index, over: index * 4..<index * 4 + 1) == .inserted)
      }
    }
    #expect(map.count == 2000)
    #expect(map.insert(0, over: 9000..<9001) == .full)
  }

  @Test("a map that ends gives its memory back, with the regions that are in it")
  func memory() throws {
    weak var nodes: PoolMemory?
    weak var records: PoolMemory?
    do {
      let map = try RegionMap<UInt64>(capacity: 1000)
      for index in 0..<100 as Range<UInt64> {
        #expect(map.insert(index, over: index * 4..<index * 4 + 1) == .inserted)
      }
      let header = map.storage.tree.header
      nodes = header.value.nodes.control.value.memory
      records = header.value.records.control.value.memory
      #expect(nodes != nil && records != nil)
      #expect(map.count == 100)
    }
    #expect(nodes == nil && records == nil)
  }
}

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
private struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}

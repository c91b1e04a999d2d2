// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What the writer does, who holds the map's lock.
extension RegionTree {
  /// Makes one change, for readers all of it or none.
  func change<Result>(_ body: () -> Result) -> Result {
    let sequence = header.value.sequence.load(ordering: .relaxed)
    header.value.sequence.store(sequence &+ 1, ordering: .relaxed)
    // Release fence — region:B. Who reads one of the words below sees the mark. Pairs with region:E.
    releaseFence()
    let result = body()
    // Release — region:P. Who sees the new sequence sees the words. Pairs with region:R.
    header.value.sequence.store(sequence &+ 2, ordering: .releasing)
    return result
  }

  /// The region that an address is in: begin, end, value. For who holds the lock.
  func region(at address: UInt64) -> [UInt64]? {
    guard let last = lastRegion(notAbove: address), address < last[1] else { return nil }
    return last
  }

  /// The last region that begins before an address. For who holds the lock.
  func region(before address: UInt64) -> [UInt64]? {
    address == 0 ? nil : lastRegion(notAbove: address - 1)
  }

  private func lastRegion(notAbove address: UInt64) -> [UInt64]? {
    let count = header.value.recordWords
    // Safety: the buffer has as many words as a region.
    let words = unsafe [UInt64](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized =
        unsafe copyLastRegion(notAbove: address, into: Table(buffer.baseAddress.unsafelyUnwrapped))
        ? count : 0
    }
    return words.isEmpty ? nil : words
  }

  /// Every region, in the order of addresses. For who holds the lock.
  func everyRegion() -> [[UInt64]] {
    var found: [[UInt64]] = []
    let count = header.value.recordWords
    func visit(_ node: UInt32, _ level: Int) {
      for entry in 0..<self.count(of: node) {
        let number = link(entry, of: node)
        if level > 0 {
          visit(number, level - 1)
        } else {
          let words = record(number)
          found.append((0..<count).map { words[$0].load(ordering: .relaxed) })
        }
      }
    }
    visit(root, height)
    return found
  }

  /// How many regions there are.
  var regionCount: Int {
    Int(truncatingIfNeeded: header.value.regions.load(ordering: .relaxed))
  }

  /// Whether there is room for one more region, wherever it comes to stand.
  var hasRoom: Bool {
    let used = header.value.usedNodes.load(ordering: .relaxed)
    return UInt64(regionCount) < header.value.records.capacity
      && used + UInt64(height) + 2 <= header.value.nodes.capacity
  }

  // MARK: Inside a change

  /// Adds a region that overlaps with none. There is room.
  func add(_ words: [UInt64]) {
    let number = Self.take(from: header.value.records)
    write(words, toRecord: number)
    header.value.regions.countOne()
    guard let right = insert(words[0], number, below: root, at: height) else { return }
    let top = takeNode()
    let left = root
    self.word(ofNode: top, 0).value.store(0, ordering: .relaxed)
    _ = place(key(0, of: left), left, at: 0, in: top)
    _ = place(key(0, of: right), right, at: 1, in: top)
    setRoot(top, height: height + 1)
  }

  /// Takes the region out that begins at an address.
  func remove(from key: UInt64) {
    remove(key, below: root, at: height)
    header.value.regions.wrappingAdd(.max, ordering: .relaxed)
    while height > 0, count(of: root) == 1 {
      let old = root
      setRoot(link(0, of: old), height: height - 1)
      free(old)
    }
  }

  /// Writes a region that begins where it began over what was there.
  func replace(_ words: [UInt64]) {
    var node = root
    for level in stride(from: height, through: 0, by: -1) {
      let position = Self.position(of: words[0], in: self.node(node))
      node = link(max(position, 1) - 1, of: node)
      if level == 0 { write(words, toRecord: node) }
    }
  }

  private func write(_ words: [UInt64], toRecord number: UInt32) {
    let record = record(number)
    for (index, word) in words.enumerated() {
      record[index].store(word, ordering: .relaxed)
    }
  }

  /// Returns the new right neighbour where the node was full.
  private func insert(
    _ key: UInt64, _ number: UInt32, below node: UInt32, at level: Int
  ) -> UInt32? {
    let position = Self.position(of: key, in: self.node(node))
    if level == 0 { return place(key, number, at: position, in: node) }
    let entry = max(position, 1) - 1
    let child = link(entry, of: node)
    let fresh = insert(key, number, below: child, at: level - 1)
    setKey(entry, of: node, self.key(0, of: child))
    guard let fresh else { return nil }
    return place(self.key(0, of: fresh), fresh, at: entry + 1, in: node)
  }

  private func remove(_ key: UInt64, below node: UInt32, at level: Int) {
    let entry = max(Self.position(of: key, in: self.node(node)), 1) - 1
    let number = link(entry, of: node)
    if level == 0 {
      Self.put(number, into: header.value.records)
    } else {
      remove(key, below: number, at: level - 1)
      if count(of: number) > 0 {
        setKey(entry, of: node, self.key(0, of: number))
        return joinNeighbours(of: entry, in: node)
      }
      free(number)
    }
    takeOut(entry, of: node)
  }

  /// Joins a child with a neighbour where both fit into one.
  private func joinNeighbours(of entry: Int, in node: UInt32) {
    for first in [entry - 1, entry] where first >= 0 && first + 1 < count(of: node) {
      let (left, right) = (link(first, of: node), link(first + 1, of: node))
      let (count, added) = (self.count(of: left), self.count(of: right))
      if count + added > Self.fan { continue }
      for index in 0..<added {
        setKey(count + index, of: left, key(index, of: right))
        setLink(count + index, of: left, link(index, of: right))
      }
      setCount(of: left, count + added)
      free(right)
      return takeOut(first + 1, of: node)
    }
  }

  // MARK: Nodes

  /// Puts an entry into a node; where that is full, its upper half goes to a new right neighbour,
  /// which is returned.
  private func place(
    _ key: UInt64, _ number: UInt32, at position: Int, in node: UInt32
  ) -> UInt32? {
    let count = count(of: node)
    if count < Self.fan {
      for index in stride(from: count, to: position, by: -1) {
        setKey(index, of: node, self.key(index - 1, of: node))
        setLink(index, of: node, link(index - 1, of: node))
      }
      setKey(position, of: node, key)
      setLink(position, of: node, number)
      setCount(of: node, count + 1)
      return nil
    }
    let half = (count + 1) / 2
    let right = takeNode()
    for index in half..<count {
      setKey(index - half, of: right, self.key(index, of: node))
      setLink(index - half, of: right, link(index, of: node))
    }
    setCount(of: right, count - half)
    setCount(of: node, half)
    if position <= half {
      _ = place(key, number, at: position, in: node)
    } else {
      _ = place(key, number, at: position - half, in: right)
    }
    return right
  }

  private func takeOut(_ entry: Int, of node: UInt32) {
    let count = count(of: node)
    for index in entry..<count - 1 {
      setKey(index, of: node, key(index + 1, of: node))
      setLink(index, of: node, link(index + 1, of: node))
    }
    setCount(of: node, count - 1)
  }

  private var root: UInt32 {
    UInt32(truncatingIfNeeded: header.value.root.load(ordering: .relaxed))
  }

  private var height: Int {
    Int(truncatingIfNeeded: header.value.root.load(ordering: .relaxed) >> 32)
  }

  private func setRoot(_ node: UInt32, height: Int) {
    header.value.root.store(UInt64(node) | UInt64(height) << 32, ordering: .relaxed)
  }

  private func count(of node: UInt32) -> Int {
    Int(truncatingIfNeeded: word(ofNode: node, 0).value.load(ordering: .relaxed))
  }

  private func setCount(of node: UInt32, _ count: Int) {
    word(ofNode: node, 0).value.store(UInt64(count), ordering: .relaxed)
  }

  private func key(_ entry: Int, of node: UInt32) -> UInt64 {
    word(ofNode: node, 1 + entry).value.load(ordering: .relaxed)
  }

  private func setKey(_ entry: Int, of node: UInt32, _ key: UInt64) {
    word(ofNode: node, 1 + entry).value.store(key, ordering: .relaxed)
  }

  private func link(_ entry: Int, of node: UInt32) -> UInt32 {
    UInt32(
      truncatingIfNeeded: word(ofNode: node, 1 + Self.fan + entry).value.load(ordering: .relaxed))
  }

  private func setLink(_ entry: Int, of node: UInt32, _ number: UInt32) {
    word(ofNode: node, 1 + Self.fan + entry).value.store(
      UInt64(number), ordering: .relaxed)
  }

  func takeNode() -> UInt32 {
    header.value.usedNodes.countOne()
    return Self.take(from: header.value.nodes)
  }

  private func free(_ node: UInt32) {
    header.value.usedNodes.wrappingAdd(.max, ordering: .relaxed)
    Self.put(node, into: header.value.nodes)
  }

  /// `hasRoom` has said that there is one.
  private static func take(from pool: PoolCore) -> UInt32 {
    let index = pool.takeAsGuest(NoFaults.self)
    if index == PoolRing.none { misuse("a region map has lost count of its memory") }
    _ = pool.give(index)
    return index
  }

  private static func put(_ index: UInt32, into pool: PoolCore) {
    // The reference that the pool's last step gives up.
    pool.holdAsGuest()
    pool.putAsGuest(pool.receive(pool.object(index)))
  }
}

// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// A small seeded generator (SplitMix64, Steele, Lea and Flood 2014), so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// Sets of very different density, dense runs among them: each finds other mistakes.
  mutating func cpuSet(width: Int) -> Set<Int> {
    var members: Set<Int> = []
    for _ in 0..<Int.random(in: 0...6, using: &self) {
      let start = Int.random(in: 0..<width, using: &self)
      let length = Int.random(in: 1...Int.random(in: 1...80, using: &self), using: &self)
      members.formUnion(start..<min(start + length, width))
    }
    return members
  }
}

@Suite("CPUMask")
struct CPUMaskTests {
  static let widths = [8, 64, 128, 129, 200, 8192]
  static let edges = [0, 1, 63, 64, 127, 128, 129, 191, 192, 4095, 8191]

  // MARK: - Members

  @Test("a new mask is empty")
  func empty() {
    let mask = CPUMask()
    #expect(mask.isEmpty)
    #expect(mask.count == 0)
    #expect(mask.first == nil)
    #expect(mask.last == nil)
    #expect(mask.single == nil)
    #expect(mask.nth(0) == nil)
    #expect(mask.wordCount == 0)
    #expect(Array(mask) == [])
    #expect(mask == [])
  }

  @Test("insert, contains and remove at word edges", arguments: edges)
  func oneMember(cpu: Int) {
    var mask = CPUMask()
    #expect(mask.insert(cpu) == (true, cpu))
    #expect(mask.insert(cpu) == (false, cpu))
    #expect(mask.contains(cpu))
    #expect(!mask.contains(cpu - 1))
    #expect(!mask.contains(cpu + 1))
    #expect(mask.count == 1)
    #expect(mask.single == cpu)
    #expect(mask.isSingle)
    #expect(mask == CPUMask(cpu))
    #expect(mask.remove(cpu) == cpu)
    #expect(mask.remove(cpu) == nil)
    #expect(mask.isEmpty)
    #expect(mask.update(with: cpu) == nil)
    #expect(mask.update(with: cpu) == cpu)
  }

  @Test("numbers outside the limits are no members", arguments: [Int.min, -64, -1, 8192, Int.max])
  func outside(cpu: Int) {
    for var mask in [CPUMask(), .all(128), .all(8192)] {
      #expect(!mask.contains(cpu))
      #expect(mask.remove(cpu) == nil)
    }
  }

  @Test("every initialiser makes the same mask")
  func initialisers() {
    let mask: CPUMask = [2, 3, 4]
    #expect(mask == CPUMask(2..<5))
    #expect(mask == CPUMask(2...4))
    #expect(mask == CPUMask([4, 2, 3, 2] as [Int]))
    #expect(mask == CPUMask(words: [0b11100]))
    #expect(CPUMask(words: [0, 0, 0, 1]) == CPUMask(192))
    #expect(CPUMask(words: [1, 0, 0, 0]) == CPUMask(0))
    #expect(CPUMask(words: [] as [UInt64]).isEmpty)
    #expect(CPUMask(9000..<9000).isEmpty)
  }

  @Test("all", arguments: [0, 1, 63, 64, 65, 127, 128, 129, 192, 8192])
  func all(width: Int) {
    let mask = CPUMask.all(width)
    #expect(mask.count == width)
    #expect(mask.first == (width == 0 ? nil : 0))
    #expect(mask.last == (width == 0 ? nil : width - 1))
    #expect(mask.wordCount == (width + 63) / 64)
    #expect(Array(mask) == Array(0..<width))
  }

  @Test("single is for exactly one member")
  func single() {
    #expect(CPUMask([5, 6]).single == nil)
    #expect(CPUMask([5, 500]).single == nil)
    #expect(!CPUMask([5, 6]).isSingle)
    #expect(CPUMask(500).single == 500)
  }

  @Test("words and members agree", arguments: widths)
  func words(width: Int) {
    var generator = SeededGenerator(state: 11)
    for _ in 0..<50 {
      let mask = CPUMask(generator.cpuSet(width: width))
      let words = (0..<mask.wordCount).map { mask.word(at: $0) }
      #expect(words.last != 0)
      #expect(CPUMask(words: words) == mask)
      #expect(mask.word(at: -1) == 0)
      #expect(mask.word(at: mask.wordCount) == 0)
      #expect(mask.word(at: Int.max) == 0)
    }
  }

  // MARK: - Sequence

  @Test("iteration ascends, and an exhausted iterator stays so", arguments: widths)
  func iteration(width: Int) {
    var generator = SeededGenerator(state: 12)
    for _ in 0..<50 {
      let members = generator.cpuSet(width: width)
      let mask = CPUMask(members)
      let sorted = members.sorted()
      #expect(Array(mask) == sorted)
      #expect(mask.underestimatedCount == sorted.count)
      #expect(mask.first == sorted.first)
      #expect(mask.last == sorted.last)
      var iterator = mask.makeIterator()
      while iterator.next() != nil {}
      #expect(iterator.next() == nil)
      #expect(iterator.next() == nil)
    }
  }

  @Test("a loop is not disturbed by changes to the mask", arguments: [100, 1000])
  func iterationOfACopy(base: Int) {
    var mask: CPUMask = [0, base]
    var seen: [Int] = []
    for cpu in mask {
      mask.remove(base)
      mask.insert(base + 1)
      seen.append(cpu)
    }
    #expect(seen == [0, base])
    #expect(Array(mask) == [0, base + 1])
  }

  @Test("nth counts from the smallest", arguments: widths)
  func nth(width: Int) {
    var generator = SeededGenerator(state: 13)
    for _ in 0..<20 {
      let members = generator.cpuSet(width: width)
      let mask = CPUMask(members)
      let sorted = members.sorted()
      #expect((0..<sorted.count).map { mask.nth($0) } == sorted)
      #expect(mask.nth(sorted.count) == nil)
      #expect(mask.nth(Int.max) == nil)
      #expect(mask.nth(-1) == nil)
    }
  }

  // MARK: - Set algebra

  @Test("operations agree with Set", arguments: widths, 0..<4 as Range<UInt64>)
  func operations(width: Int, seed: UInt64) {
    var generator = SeededGenerator(state: seed)
    for _ in 0..<30 {
      let (a, b) = (generator.cpuSet(width: width), generator.cpuSet(width: width))
      let (x, y) = (CPUMask(a), CPUMask(b))
      #expect(Set(x.union(y)) == a.union(b))
      #expect(Set(x.intersection(y)) == a.intersection(b))
      #expect(Set(x.subtracting(y)) == a.subtracting(b))
      #expect(Set(x.symmetricDifference(y)) == a.symmetricDifference(b))
      #expect(x.isSubset(of: y) == a.isSubset(of: b))
      #expect(x.isSuperset(of: y) == a.isSuperset(of: b))
      #expect(x.isStrictSubset(of: y) == a.isStrictSubset(of: b))
      #expect(x.isStrictSuperset(of: y) == a.isStrictSuperset(of: b))
      #expect(x.isDisjoint(with: y) == a.isDisjoint(with: b))
      #expect((x == y) == (a == b))
      #expect(x.isEmpty == a.isEmpty)
      #expect(x.count == a.count)
    }
  }

  @Test("operations on masks of different widths", arguments: widths, widths)
  func mixedWidths(first: Int, second: Int) {
    var generator = SeededGenerator(state: 14)
    for _ in 0..<20 {
      let (a, b) = (generator.cpuSet(width: first), generator.cpuSet(width: second))
      let (x, y) = (CPUMask(a), CPUMask(b))
      #expect(Set(x.union(y)) == a.union(b))
      #expect(Set(x.intersection(y)) == a.intersection(b))
      #expect(Set(x.subtracting(y)) == a.subtracting(b))
      #expect(Set(x.symmetricDifference(y)) == a.symmetricDifference(b))
      #expect(x.isSubset(of: y) == a.isSubset(of: b))
      #expect(x.isDisjoint(with: y) == a.isDisjoint(with: b))
    }
  }

  @Test("laws of the algebra", arguments: widths)
  func laws(width: Int) {
    var generator = SeededGenerator(state: 15)
    for _ in 0..<30 {
      let x = CPUMask(generator.cpuSet(width: width))
      let y = CPUMask(generator.cpuSet(width: width))
      let z = CPUMask(generator.cpuSet(width: width))
      #expect(x.union(y) == y.union(x))
      #expect(x.union(y.union(z)) == x.union(y).union(z))
      #expect(x.intersection(y.union(z)) == x.intersection(y).union(x.intersection(z)))
      #expect(x.union(y.intersection(z)) == x.union(y).intersection(x.union(z)))
      #expect(x.subtracting(y).union(x.intersection(y)) == x)
      #expect(x.symmetricDifference(y) == x.union(y).subtracting(x.intersection(y)))
      #expect(x.symmetricDifference(x).isEmpty)
      #expect(x.union([]) == x)
      #expect(x.intersection([]).isEmpty)
      #expect(x.intersection(y).isSubset(of: x))
      #expect(x.isSubset(of: x.union(y)))
      #expect(x.subtracting(y).isDisjoint(with: y))
      #expect(CPUMask.all(width).subtracting(x).count == width - x.count)
    }
  }

  @Test("a random walk of inserts and removals agrees with Set", arguments: widths)
  func randomWalk(width: Int) {
    var generator = SeededGenerator(state: 16)
    var mask = CPUMask()
    var model: Set<Int> = []
    for _ in 0..<2000 {
      let cpu = Int.random(in: 0..<width, using: &generator)
      if Bool.random(using: &generator) {
        #expect(mask.insert(cpu).inserted == model.insert(cpu).inserted)
      } else {
        #expect((mask.remove(cpu) != nil) == (model.remove(cpu) != nil))
      }
    }
    #expect(Set(mask) == model)
    #expect(mask == CPUMask(model))
  }

  // MARK: - Representation

  @Test("equality and hash do not depend on the history", arguments: [128, 200, 8191])
  func canonical(large: Int) {
    let plain: CPUMask = [1, 70]
    var removed = plain
    removed.insert(large)
    removed.remove(large)
    let histories: [CPUMask] = [
      removed,
      plain.union(CPUMask(large)).subtracting(CPUMask(large)),
      plain.union(CPUMask(large)).intersection(.all(128)),
      plain.symmetricDifference(CPUMask(large)).symmetricDifference(CPUMask(large)),
    ]
    for mask in histories {
      #expect(mask == plain)
      #expect(mask.hashValue == plain.hashValue)
      #expect(mask.wordCount == 2)
      #expect(mask.isSubset(of: plain) && plain.isSubset(of: mask))
    }
    #expect(Set(histories).count == 1)
  }

  @Test("a wide mask loses its empty words")
  func trimming() {
    var mask: CPUMask = [0, 300, 8191]
    mask.remove(8191)
    #expect(mask.wordCount == 5)
    #expect(mask == [0, 300])
    #expect(mask.hashValue == CPUMask([0, 300]).hashValue)
    #expect(mask != [0])
    #expect(mask != [0, 301])
  }

  @Test("copies are independent", arguments: [5, 500])
  func copies(cpu: Int) {
    let original = CPUMask(cpu)
    var copy = original
    copy.insert(cpu + 1)
    copy.remove(cpu)
    #expect(Array(original) == [cpu])
    #expect(Array(copy) == [cpu + 1])
  }

  @Test("a small mask is two words and a tag")
  func layout() {
    #expect(MemoryLayout<CPUMask>.size == 17)
  }

  // MARK: - Misuse

  @Test("inserting a number outside the limits stops the process")
  func insertOutside() async {
    await #expect(processExitsWith: .failure) {
      var mask = CPUMask()
      mask.insert(8192)
    }
    await #expect(processExitsWith: .failure) {
      var mask = CPUMask()
      mask.insert(-1)
    }
    await #expect(processExitsWith: .failure) {
      var mask = CPUMask.all(8192)
      mask.insert(8192)
    }
  }

  @Test("a range, a word or a width outside the limits stops the process")
  func rangeOutside() async {
    await #expect(processExitsWith: .failure) { _ = CPUMask(8000..<8193) }
    await #expect(processExitsWith: .failure) { _ = CPUMask(-1..<1) }
    await #expect(processExitsWith: .failure) { _ = CPUMask.all(-1) }
    await #expect(processExitsWith: .failure) {
      _ = CPUMask(words: repeatElement(1, count: 129))
    }
    await #expect(processExitsWith: .failure) { _ = CPUMask().hexWords(width: 8193) }
    await #expect(processExitsWith: .failure) { _ = try CPUMask(cpuList: "0", width: -1) }
  }
}

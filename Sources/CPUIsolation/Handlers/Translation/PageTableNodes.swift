// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A page table as an address: a radix tree with 512 entries a node.
///
///     lowest node    512 words          an entry each
///     upper node     512 pairs          an entry of a larger page, the address of the node below
///
/// Both words of a pair are there at any time, so that a large page never takes the place of a
/// node: **a node is never freed, moved or unlinked before the table ends.** A reader that is on
/// its way down needs no protection, and there is no flush for which the tables themselves would
/// have to be waited for. That is what makes deferring a flush sound at all; a table that gave
/// nodes back would need a grace period for each, and larger care on the way.
// Sendable: an address of memory in which every word is atomic.
@safe
struct PageTableNodes: @unchecked Sendable {
  let root: Node
  /// How many levels there are, 1 to 4.
  let levels: Int

  static let entries = 512
  static let bitsPerLevel: UInt64 = 9
  static let lowestBytes = entries * 8
  static let upperBytes = entries * 16
  static let maximumLevels = 4

  /// A node: the address of its entries, and between them, above the lowest level, of its children.
  // Sendable: as above.
  @safe
  struct Node: @unchecked Sendable {
    let base: Address

    init(_ base: Address) { self.base = base }

    init?(at address: UInt) {
      guard let base = Address(at: address) else { return nil }
      self.base = base
    }
  }

  init(root: Node, levels: Int) {
    self.root = root
    self.levels = levels
  }

  /// How many pages the table spans.
  var span: UInt64 { 1 << (Self.bitsPerLevel * UInt64(levels)) }

  /// The levels that a span of so many pages needs.
  static func levels(spanning pages: UInt64) -> Int? {
    (1...maximumLevels).first { pages <= 1 << (bitsPerLevel * UInt64($0)) }
  }

  static func byteCount(ofNodeAt level: Int) -> Int { level == 0 ? lowestBytes : upperBytes }

  /// Puts zeroed memory into the first state of a node.
  static func initializeNode(_ node: Node, at level: Int) {
    // Safety: a node of this level is as long.
    unsafe Table<SharedWord>(node.base).initialize(count: byteCount(ofNodeAt: level) / 8)
  }

  private static func index(_ page: UInt64, _ level: Int) -> Int {
    Int(truncatingIfNeeded: page >> (bitsPerLevel * UInt64(level))) & (entries - 1)
  }

  /// The entry of a page in a node.
  static func entry(
    _ page: UInt64, in node: Node, at level: Int
  ) -> Place<SharedWord> {
    let stride = level == 0 ? 8 : 16
    // Safety: the index is below the number of entries.
    return unsafe Place(node.base + index(page, level) * stride)
  }

  /// The address of the node below an upper node's entry.
  static func child(
    _ page: UInt64, in node: Node, at level: Int
  ) -> Place<SharedAddress> {
    // Safety: as above; a node above the lowest level has children.
    unsafe Place(node.base + index(page, level) * 16 + 8)
  }

  /// The word that a page is translated by, and the level it stands at: the first on the way down
  /// that is something. Wait-free.
  ///
  /// A page that is being remapped from one size to another is found at one of them or at none: the
  /// writer takes the old one away first, and waits for every CPU before it puts the new one in.
  func look(up page: UInt64) -> (word: PageWord, level: Int) {
    var node = root
    var level = levels - 1
    while level > 0 {
      if level <= PageWord.highestLevel {
        // Acquire — table:L. What the frame held before it was mapped is seen by whoever finds it
        // here. Pairs with table:W.
        let word = Self.entry(page, in: node, at: level).value.load(ordering: .acquiring)
        if word != 0 { return (PageWord(rawValue: word), level) }
      }
      // Acquire — table:N. The node is empty or filled, but not unwritten. Pairs with table:C.
      let address = Self.child(page, in: node, at: level).value.load(ordering: .acquiring)
      guard let next = Node(at: address) else {
        return (.nothing, 0)
      }
      node = next
      level -= 1
    }
    // Acquire — table:L, as above. Pairs with table:W.
    let word = Self.entry(page, in: node, at: 0).value.load(ordering: .acquiring)
    return (PageWord(rawValue: word), 0)
  }

  /// The frame of a page; nil if it is not mapped. A larger page's frames follow one another.
  func frame(of page: UInt64) -> (frame: UInt64, word: PageWord)? {
    if page >= span { return nil }
    let (word, level) = look(up: page)
    guard word.isPresent else { return nil }
    let offset = page & (1 << (Self.bitsPerLevel * UInt64(level)) &- 1)
    return (word.frame &+ offset, word)
  }

  /// Writes an entry. The caller is the only writer.
  static func write(_ word: PageWord, to entry: Place<SharedWord>) {
    // Release — table:W. What the frame holds comes before whoever finds it. Pairs with table:L.
    entry.value.store(word.rawValue, ordering: .releasing)
  }

  /// Hangs an empty node below an entry. The caller is the only writer.
  static func link(
    _ node: Node, below child: Place<SharedAddress>
  ) {
    // Release — table:C. The empty node comes before its address. Pairs with table:N.
    child.value.store(node.base.bits, ordering: .releasing)
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension AddressSpace {
  /// Translates page numbers into frame numbers, for all threads.
  ///
  ///     let table = try AddressSpace.PageTable(pages: 1 << 27)
  ///     table.frame(of: 4711)  // nil: not mapped
  ///
  /// A radix tree of four levels at most, with three page sizes. Reading takes no lock and never
  /// waits; writers take turns. A node takes 4 or 8 KiB, is made when the first of its 512 entries is
  /// mapped, and is kept until the table ends: `memory` says how much there may be, and a mapping
  /// that would need more is refused.
  ///
  /// Reading the table gives what is mapped *now*; what a CPU may go on using is a matter of its
  /// flushes. ``AddressSpace`` joins the two, and is what changes a table.
  ///
  /// - Progress: wait-free to read
  /// - Context: any thread
  /// - Allocates: nodes, where a mapping needs them
  public final class PageTable: Sendable {
    let nodes: PageTableNodes
    private let limit: Int
    private let writer: Lock<Writer>

    /// Memory that nodes are carved from.
    private final class Arena: Sendable {
      let memory: MappedMemory
      init(byteCount: Int) throws(IsolationError) {
        memory = try MappedMemory(byteCount: byteCount)
      }
    }

    private struct Writer {
      var arenas: [Arena]
      /// The bytes of the last arena that are in use.
      var used: Int
      /// The bytes of all nodes.
      var total: Int
    }

    /// The bytes of an arena: nodes come from few mappings, however many they are.
    private static let arenaBytes = 1 << 20

    /// A table that spans the page numbers below `pages`, of which there may be 2³⁶, with at most
    /// `memory` bytes of nodes.
    ///
    /// Dense mappings take 8 bytes a page; a page alone takes a node of each level.
    ///
    /// - Parameters:
    ///   - pages: how many page numbers, 1 to 2³⁶; another number ends the process with a sentence.
    ///   - limit: the most bytes that nodes may take.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Throws: `outOfMemory`.
    /// - Progress: blocking
    /// - Context: any thread
    /// - Allocates: yes
    public init(
      pages: UInt64, memory limit: Int = 1 << 30, file: StaticString = #fileID, line: UInt = #line
    ) throws(IsolationError) {
      guard pages > 0, let levels = PageTableNodes.levels(spanning: pages) else {
        misuse(
          "a page table cannot span \(pages) pages: it spans 1 to \(UInt64(1) << 36)", file, line)
      }
      let rootBytes = PageTableNodes.byteCount(ofNodeAt: levels - 1)
      let arena = try Arena(byteCount: max(rootBytes, min(Self.arenaBytes, limit)))
      // Safety: the arena is longer than the root.
      let root = PageTableNodes.Node(arena.memory.address)
      PageTableNodes.initializeNode(root, at: levels - 1)
      nodes = PageTableNodes(root: root, levels: levels)
      self.limit = max(limit, rootBytes)
      writer = Lock(Writer(arenas: [arena], used: rootBytes, total: rootBytes))
    }

    /// The frame that a page is mapped to now; nil if it is not mapped.
    ///
    /// - Parameter page: the number of a page.
    /// - Returns: the frame, or nil.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public func frame(of page: UInt64) -> UInt64? {
      withExtendedLifetime(self) { nodes.frame(of: page)?.frame }
    }

    /// The bytes that the nodes take.
    ///
    /// - Progress: blocking, for as long as another thread maps
    /// - Context: any thread
    /// - Allocates: never
    public var memoryInUse: Int { writer.withLock { $0.total } }

    // MARK: Writing

    /// Does something as the only writer.
    func asWriter<Result, Failure: Error>(
      _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
      try writer.withLock { _ throws(Failure) in try body() }
    }

    /// Maps a page of some size. What the frames hold was written before.
    ///
    /// - Throws: `outOfMemory` where a node is needed and none may be made.
    func map(
      _ page: UInt64, to word: PageWord, _ size: AddressSpace.PageSize
    ) throws(IsolationError) -> MapOutcome {
      try writer.withLock { (state) throws(IsolationError) -> MapOutcome in
        var node = nodes.root
        var level = nodes.levels - 1
        while level > size.rawValue {
          if level <= AddressSpace.PageSize.huge.rawValue {
            let above = Self.word(PageTableNodes.entry(page, in: node, at: level))
            if !above.isNothing { return above.isRetiring ? .retiring : .mapped(above.frame) }
          }
          let child = PageTableNodes.child(page, in: node, at: level)
          if let next = Self.node(child) {
            node = next
          } else {
            let fresh = try Self.makeNode(at: level - 1, &state, limit)
            PageTableNodes.link(fresh, below: child)
            node = fresh
          }
          level -= 1
        }
        let entry = PageTableNodes.entry(page, in: node, at: level)
        let old = Self.word(entry)
        if !old.isNothing { return old.isRetiring ? .retiring : .mapped(old.frame) }
        if level > 0, let below = Self.node(PageTableNodes.child(page, in: node, at: level)),
          let found = Self.firstEntry(in: below, at: level - 1)
        {
          return found.isRetiring ? .retiring : .mapped(found.frame)
        }
        PageTableNodes.write(word, to: entry)
        return .done
      }
    }

    /// How a mapping ended.
    enum MapOutcome: Equatable {
      case done
      case mapped(UInt64)
      case retiring
    }

    /// The entries of mapped pages in a range, of any size, with their first pages. A larger page
    /// that the range cuts is given whole. The caller is the only writer.
    func forEachEntry(
      in pages: Range<UInt64>,
      _ body: (UInt64, AddressSpace.PageSize, PageWord, Place<SharedWord>) -> Void
    ) {
      visit(nodes.root, nodes.levels - 1, first: 0, pages, body)
    }

    private func visit(
      _ node: PageTableNodes.Node, _ level: Int, first: UInt64, _ pages: Range<UInt64>,
      _ body: (UInt64, AddressSpace.PageSize, PageWord, Place<SharedWord>) -> Void
    ) {
      let shift = PageTableNodes.bitsPerLevel * UInt64(level)
      let from = max(pages.lowerBound, first) - first
      let to = min(pages.upperBound - first, UInt64(PageTableNodes.entries) << shift)
      if from >= to { return }
      for index in from >> shift...(to - 1) >> shift {
        let page = first + index << shift
        if let size = AddressSpace.PageSize(rawValue: level) {
          let entry = PageTableNodes.entry(page, in: node, at: level)
          let word = Self.word(entry)
          if !word.isNothing { body(page, size, word, entry) }
        }
        if level > 0, let below = Self.node(PageTableNodes.child(page, in: node, at: level)) {
          visit(below, level - 1, first: page, pages, body)
        }
      }
    }

    private static func word(_ entry: Place<SharedWord>) -> PageWord {
      // Relaxed: only writers write, and this is the one.
      PageWord(rawValue: entry.value.load(ordering: .relaxed))
    }

    private static func node(
      _ child: Place<SharedAddress>
    ) -> PageTableNodes.Node? {
      // Relaxed: only writers write, and this is the one.
      PageTableNodes.Node(at: child.value.load(ordering: .relaxed))
    }

    /// An entry below a node that is something: mapped if there is such a one, else retiring.
    private static func firstEntry(in node: PageTableNodes.Node, at level: Int) -> PageWord? {
      var found: PageWord? = nil
      for index in 0..<UInt64(PageTableNodes.entries) {
        let page = index << (PageTableNodes.bitsPerLevel * UInt64(level))
        let word = word(PageTableNodes.entry(page, in: node, at: level))
        if word.isPresent { return word }
        if !word.isNothing { found = word }
        guard level > 0, let below = Self.node(PageTableNodes.child(page, in: node, at: level))
        else { continue }
        if let inside = firstEntry(in: below, at: level - 1) {
          if inside.isPresent { return inside }
          found = inside
        }
      }
      return found
    }

    private static func makeNode(
      at level: Int, _ state: inout Writer, _ limit: Int
    ) throws(IsolationError) -> PageTableNodes.Node {
      let bytes = PageTableNodes.byteCount(ofNodeAt: level)
      if state.total + bytes > limit {
        throw IsolationError(
          .outOfMemory, errno: 12, "the page table may have \(limit) bytes of nodes, and has them")
      }
      if state.used + bytes > state.arenas[state.arenas.count - 1].memory.byteCount {
        state.arenas.append(try Arena(byteCount: arenaBytes))
        state.used = 0
      }
      let arena = state.arenas[state.arenas.count - 1]
      // Safety: there is room for it, as was seen to above.
      let node = PageTableNodes.Node(arena.memory.address + state.used)
      state.used += bytes
      state.total += bytes
      PageTableNodes.initializeNode(node, at: level)
      return node
    }
  }
}

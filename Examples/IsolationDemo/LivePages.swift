// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// Pages that come and go: `flush_tlb_all` and `flush_tlb_range` in earnest.
final class LivePages: Sendable {
  let space: AddressSpace
  private let memory: LiveMemory

  init(
    _ coordinator: Coordinator, _ memory: LiveMemory, urgency: WorkType.Urgency
  ) throws(IsolationError) {
    self.memory = memory
    var options = AddressSpace.Options(
      pages: LiveMemory.numbers * UInt64(memory.housekeepers))
    // What is unmapped together is more than this: it is flushed by dropping everything.
    options.flushCeiling = Keeper.rangeLength - 1
    options.urgency = urgency
    space = try AddressSpace(coordinator, options)
  }

  /// What one housekeeper does with its pages. It belongs to the housekeeper's thread.
  struct Keeper: ~Copyable {
    static let rangeLength = 8
    /// So many ranges are mapped; the others are free, or wait for their flush.
    private static let mappedRanges = 4

    private let pages: LivePages
    private let memory: LiveMemory
    private let index: Int
    private let unmapper: AddressSpace.LazyUnmapper
    private var mapped: [Range<UInt64>] = []

    init(_ pages: LivePages, _ index: Int) throws(IsolationError) {
      let memory = pages.memory
      self.pages = pages
      self.memory = memory
      self.index = index
      unmapper = AddressSpace.LazyUnmapper(
        pages.space, pages: memory.pages(of: index), maximumPending: Self.rangeLength
      ) { page, frame in
        memory.versions.finish(Int(page), at: memory.versions.current(Int(page)) + 1)
        memory.frames.giveBack(frame, by: index)
      }
      for _ in 0..<Self.mappedRanges { try map() }
    }

    /// Takes the oldest range away, has it flushed, and maps another.
    mutating func turnOver() throws(IsolationError) {
      if mapped.count == Self.mappedRanges {
        for page in mapped[0] { _ = memory.versions.begin(Int(page)) }
        while unmapper.unmap(mapped[0]) == .full { unmapper.purge() }
        mapped.removeFirst()
      }
      // An isolated CPU in user has acknowledged by now, and the frames are handed out again.
      _ = unmapper.poll()
      try map()
    }

    private mutating func map() throws(IsolationError) {
      guard let range = unmapper.reserve(UInt64(Self.rangeLength)) else { return }
      for page in range {
        let (frame, version) = memory.begin(page, by: index)
        guard try pages.space.map(page, to: frame) == .mapped else {
          fatalError("page \(page) was reserved, and cannot be mapped")
        }
        memory.versions.finish(Int(page), at: version)
      }
      mapped.append(range)
    }

    /// Gives a page another frame, and has the old one back when every CPU has dropped it.
    mutating func replace() {
      guard let page = mapped.randomElement()?.randomElement() else { return }
      let (frame, version) = memory.begin(page, by: index)
      guard var old = pages.space.replace(page, with: frame) else {
        fatalError("page \(page) was mapped, and cannot be given another frame")
      }
      let (memory, index) = (memory, index)
      old.wait { page, frame in
        memory.versions.finish(Int(page), at: version)
        memory.frames.giveBack(frame, by: index)
      }
    }
  }

  /// Looks a page up, reads its frame, and judges what it finds.
  @inline(__always)
  func look(
    at page: UInt64, through translations: borrowing AddressSpace.LocalTranslations,
    on cpu: borrowing LocalCPU, _ place: Place
  ) {
    let lowest = memory.versions.lowest(Int(truncatingIfNeeded: page))
    var contents: Frames.Contents? = nil
    if let frame = translations.lookUp(page, on: cpu) { contents = memory.frames.read(frame) }
    memory.legality.judge(page, contents, in: memory.versions, from: lowest, at: place)
  }
}

// SPDX-License-Identifier: Apache-2.0

/// The memory of the demonstration: frames, and which versions of which page may be found in them.
///
/// Each housekeeper has numbers of its own: pages, which an `AddressSpace` maps, and after them
/// handles, which translations that are made by hand lead to. The same rules are for both.
final class LiveMemory: Sendable {
  let frames: Frames
  let versions: Versions
  let legality: Legality
  let housekeepers: Int

  static let pages = 64
  static let handles = 8
  static let numbers = UInt64(pages + handles)
  /// One for each, and for one of each that is on its way from one frame to another.
  private static let frames = pages + handles + 2

  init(housekeepers: Int, _ legality: Legality) {
    self.housekeepers = housekeepers
    self.legality = legality
    frames = Frames(perHousekeeper: Self.frames, housekeepers: housekeepers)
    versions = Versions(count: Int(Self.numbers) * housekeepers)
  }

  /// The pages that a housekeeper maps.
  func pages(of housekeeper: Int) -> Range<UInt64> {
    let first = UInt64(housekeeper) * Self.numbers
    return first..<first + UInt64(Self.pages)
  }

  func handles(of housekeeper: Int) -> Range<UInt64> {
    let first = pages(of: housekeeper).upperBound
    return first..<first + UInt64(Self.handles)
  }

  /// From one frame to another it is so many versions; to no frame, and from none to one, it is one.
  ///
  /// So the two can be told apart. A CPU that reads `lowest`, with a frame, and after its look
  /// `highest`, four more, has seen an exchange: there was a frame all the time. An unmapping and a
  /// mapping are two more; a second unmapping cannot end before the CPU has left its kernel
  /// section, so that there are never four.
  static let exchange: UInt64 = 4

  /// Begins a change of a page to another frame, which it fills.
  func begin(_ page: UInt64, by housekeeper: Int) -> (frame: UInt64, version: UInt64) {
    let isMapped = versions.current(Int(page)) & 1 != 0
    let version = versions.begin(Int(page), by: isMapped ? Self.exchange : 1)
    return (frames.take(for: page, version: version, by: housekeeper), version)
  }
}

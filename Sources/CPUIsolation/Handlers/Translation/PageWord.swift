// SPDX-License-Identifier: Apache-2.0

/// An entry of a page table, as a value.
///
///     63                                              3   2   1   0
///     ┌────────────────────────────────────────────────┬───┬───┬───┐
///     │ frame                                          │ n │ r │ p │
///     └────────────────────────────────────────────────┴───┴───┴───┘
///
/// *p*, present: the page is mapped. *r*, retiring: it was unmapped, and not every CPU has dropped
/// it yet; the frame stays in the word, where nobody can take it for free, until all have. *n*: a
/// change is never deferred.
///
/// | from | to | by |
/// |---|---|---|
/// | nothing | present | map |
/// | present | present, another frame | change |
/// | present | retiring, the same frame | unmap |
/// | retiring | nothing | the acknowledgement of every CPU |
@frozen @usableFromInline
struct PageWord: Hashable, Sendable {
  @usableFromInline var rawValue: UInt64

  @inlinable
  init(rawValue: UInt64) { self.rawValue = rawValue }

  static let present: UInt64 = 1
  static let retiring: UInt64 = 2
  static let neverDeferred: UInt64 = 4
  private static let frameShift: UInt64 = 3
  /// The highest level at which a word maps something: a word there spans 512 × 512 pages.
  static let highestLevel = 2
  /// The highest frame that a word can hold.
  static let maximumFrame = UInt64.max >> frameShift

  init(frame: UInt64, neverDeferred: Bool) {
    rawValue =
      frame << Self.frameShift | Self.present | (neverDeferred ? Self.neverDeferred : 0)
  }

  static let nothing = PageWord(rawValue: 0)

  var isNothing: Bool { rawValue == 0 }
  var isPresent: Bool { rawValue & Self.present != 0 }
  var isRetiring: Bool { rawValue & Self.retiring != 0 }
  var isNeverDeferred: Bool { rawValue & Self.neverDeferred != 0 }
  var frame: UInt64 { rawValue >> Self.frameShift }

  /// The word after an unmapping.
  var retired: PageWord {
    PageWord(rawValue: rawValue & ~Self.present | Self.retiring)
  }

  /// The word after a change of the frame.
  func changed(to frame: UInt64) -> PageWord {
    PageWord(rawValue: frame << Self.frameShift | rawValue & ~(.max << Self.frameShift))
  }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Judges what isolated CPUs execute and read: whether it was legal at that moment.
///
/// Wait-free and without allocation: a handler that runs in a signal judges too.
// Sendable: the counter and the claims are atomic; the first violation is written by whoever made
// the claim, and read after `isKept`.
@safe
final class Legality: @unchecked Sendable {
  private let count = Atomic<UInt64>(0)
  private let isClaimed = Atomic<Bool>(false)
  private let isKept = Atomic<Bool>(false)
  private let kept: UnsafeMutablePointer<Violation>

  init() {
    unsafe kept = .allocate(capacity: 1)
    unsafe kept.initialize(to: Violation(.poison, at: Place(cpu: 0), thing: 0))
  }

  deinit { unsafe kept.deallocate() }

  var violations: UInt64 { count.load(ordering: .relaxed) }

  /// The first violation; nil if there was none.
  var first: Violation? {
    // Acquire — Legality:F. Pairs with Legality:K.
    isKept.load(ordering: .acquiring) ? unsafe kept.pointee : nil
  }

  /// Judges what a page was found to be: a frame's contents, or nothing.
  @inline(__always)
  func judge(
    _ page: UInt64, _ contents: Frames.Contents?, in versions: Versions, from lowest: UInt64,
    at place: Place
  ) {
    let highest = versions.highest(Int(truncatingIfNeeded: page))
    guard let contents else {
      // Legal if it may have been without a frame in between.
      if lowest & 1 != 0, highest == lowest || highest == lowest &+ LiveMemory.exchange {
        note(Violation(.missing, at: place, thing: page, legal: lowest...highest))
      }
      return
    }
    if contents.page == page, contents.isWhole, contents.version >= lowest,
      contents.version <= highest
    {
      return
    }
    refuse(page, contents, lowest, highest, place)
  }

  @inline(never)
  private func refuse(
    _ page: UInt64, _ contents: Frames.Contents, _ lowest: UInt64, _ highest: UInt64,
    _ place: Place
  ) {
    let kind: Violation.Kind =
      contents.page == Frames.poison
      ? .poison
      : contents.page != page ? .otherPage : contents.isWhole ? .otherVersion : .torn
    note(
      Violation(
        kind, at: place, thing: page, seen: contents.page, version: contents.version,
        legal: lowest...max(lowest, highest)))
  }

  /// Counts a violation, and keeps the first one.
  @inline(never)
  func note(_ violation: Violation) {
    count.wrappingAdd(1, ordering: .relaxed)
    if isClaimed.exchange(true, ordering: .relaxed) { return }
    unsafe kept.pointee = violation
    // Release — Legality:K. Pairs with Legality:F.
    isKept.store(true, ordering: .releasing)
  }
}

/// Where and when something was seen.
struct Place: Equatable, Sendable {
  var cpu: Int
  /// How often the CPU had entered kernel by itself; nil in a handler, while it drained.
  var iteration: UInt64?
}

/// Something that no CPU may see: numbers alone, made into a sentence later.
struct Violation: Equatable, Sendable, CustomStringConvertible {
  enum Kind: Sendable {
    case poison, otherPage, otherVersion, torn, missing, call, key, keyInUser, deadline
  }

  var kind: Kind
  var place: Place
  /// The page, the site or the key.
  var thing: UInt64
  var seen: UInt64
  var version: UInt64
  /// The versions that were legal; of a deadline the latest legal one.
  var lowest: UInt64
  var highest: UInt64

  init(
    _ kind: Kind, at place: Place, thing: UInt64, seen: UInt64 = 0, version: UInt64 = 0,
    legal: ClosedRange<UInt64> = 0...0
  ) {
    self.kind = kind
    self.place = place
    self.thing = thing
    self.seen = seen
    self.version = version
    lowest = legal.lowerBound
    highest = legal.upperBound
  }

  var description: String {
    let versions = lowest == highest ? "version \(lowest)" : "versions \(lowest) to \(highest)"
    let legal = lowest == highest ? "\(versions) was legal" : "\(versions) were legal"
    let what =
      switch kind {
      case .poison: "read poison at page \(thing), whose frame had been freed; \(legal)"
      case .otherPage: "found page \(seen) in the frame of page \(thing); \(legal)"
      case .otherVersion: "read version \(version) of page \(thing); \(legal)"
      case .torn: "read page \(thing) half written; \(legal)"
      case .missing: "did not find page \(thing), which was mapped; \(legal)"
      case .call:
        "executed variant \(seen) of site \(thing); \(legal), of \(LiveText.variants) variants in turn"
      case .key: "found key \(thing) \(seen == 0 ? "off" : "on"); \(legal), and odd ones are on"
      case .keyInUser: "saw key \(thing) change within a user section"
      case .deadline: "knew of no timer before \(seen), but \(lowest) had been promised"
      }
    let moment = place.iteration.map { "in iteration \($0)" } ?? "while it drained"
    return "CPU \(place.cpu), \(moment), \(what)"
  }
}

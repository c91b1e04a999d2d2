// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What an isolated CPU executes and reads in kernel, right after each entry. It belongs to the
/// CPU's thread.
struct Inspection {
  private let live: LiveState
  private let cpu: Int
  private var iteration: UInt64 = 0
  private var random: UInt64
  /// Whose things are looked at in this iteration.
  private var housekeeper = 0
  private var wasOn = false
  private var promised = UInt64.max
  private(set) var checked = Checked()

  private static let pagesPerRound = 4

  init(_ live: LiveState, cpu: Int) {
    self.live = live
    self.cpu = cpu
    random = UInt64(cpu + 1) &* 0x9e37_79b9_7f4a_7c15
  }

  /// Begins a user section, in user.
  @inline(__always)
  mutating func begin(on cpu: borrowing LocalCPU) {
    wasOn = live.keys.isOn(housekeeper, on: cpu)
  }

  /// Turns to the entry, in user: what has been promised by now has to hold after it.
  @inline(__always)
  mutating func prepareToEnter(on cpu: borrowing LocalCPU) {
    live.handles.prepareToEnter(on: self.cpu)
    promised = live.timers.promised(to: self.cpu)
  }

  /// Ends the section, in user, just before the entry.
  @inline(__always)
  mutating func end(on cpu: borrowing LocalCPU) {
    if live.keys.isOn(housekeeper, on: cpu) != wasOn {
      live.legality.note(Violation(.keyInUser, at: place, thing: UInt64(housekeeper)))
    }
  }

  private var place: Place { Place(cpu: cpu, iteration: iteration) }

  /// Looks at everything so many times, in kernel.
  @inline(never)
  mutating func look(
    on cpu: borrowing LocalCPU, through translations: borrowing AddressSpace.LocalTranslations,
    rounds: Int
  ) {
    live.handles.endEntry(on: self.cpu)
    iteration &+= 1
    housekeeper = housekeeper &+ 1 == live.memory.housekeepers ? 0 : housekeeper &+ 1
    let place = place
    live.timers.look(on: cpu, promised: promised, live.legality, place)
    live.keys.look(at: housekeeper, on: cpu, live.legality, place)
    let pages = live.memory.pages(of: housekeeper)
    let handles = live.memory.handles(of: housekeeper)
    for _ in 0..<rounds {
      live.text?.look(at: housekeeper, on: cpu, live.legality, place)
      for handle in handles { live.handles.look(at: handle, on: self.cpu, place) }
      for _ in 0..<Self.pagesPerRound {
        let page = pages.lowerBound &+ next() % UInt64(LiveMemory.pages)
        live.pages.look(at: page, through: translations, on: cpu, place)
      }
    }
    checked.count(rounds: rounds, hasText: live.text != nil, pages: Self.pagesPerRound)
  }

  /// A power of two up to 64, each as often as the others: what is short and what is long has to
  /// meet all lengths of what others do.
  @inline(__always)
  mutating func length() -> Int { 1 << Int(truncatingIfNeeded: next() % 7) }

  @inline(__always)
  private mutating func next() -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random >> 8
  }
}

/// How much was executed and read, and judged: nobody is told that nothing was illegal where
/// nothing was looked at.
struct Checked: Equatable, Sendable {
  var calls: UInt64 = 0
  var pages: UInt64 = 0
  var handles: UInt64 = 0
  var keys: UInt64 = 0
  var timers: UInt64 = 0

  /// One inspection.
  mutating func count(rounds: Int, hasText: Bool, pages perRound: Int) {
    if hasText { calls &+= UInt64(rounds) }
    pages &+= UInt64(rounds &* perRound)
    handles &+= UInt64(rounds &* LiveMemory.handles)
    keys &+= 1
    timers &+= 1
  }

  static func += (sum: inout Checked, other: Checked) {
    sum.calls += other.calls
    sum.pages += other.pages
    sum.handles += other.handles
    sum.keys += other.keys
    sum.timers += other.timers
  }

  /// In the order in which reports name them.
  var counts: [(name: String, count: UInt64)] {
    [
      ("calls", calls), ("pages", pages), ("handles", handles), ("keys", keys), ("timers", timers),
    ]
  }
}

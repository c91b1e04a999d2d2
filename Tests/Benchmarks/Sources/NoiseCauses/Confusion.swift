// SPDX-License-Identifier: Apache-2.0

/// What the kernel saw in each gap, beside what the meter named it.
struct Confusion {
  /// What a gap is due to: the first of these that was seen in it.
  enum Truth: Int, CaseIterable {
    case preempted, slept, faulted, signalled, ours, tick, interrupt, nothing

    init(_ kinds: Set<KernelEvent.Kind>, isOurs: Bool) {
      // A signal of the library is the loop's own, which it knows.
      self =
        if kinds.contains(.preempted) {
          .preempted
        } else if isOurs {
          .ours
        } else if kinds.contains(.slept) {
          .slept
        } else if kinds.contains(.faulted) {
          .faulted
        } else if kinds.contains(.signalled) {
          .signalled
        } else if kinds.contains(.tick) {
          .tick
        } else if kinds.contains(.interrupt) {
          .interrupt
        } else {
          .nothing
        }
    }

    /// The name that a gap with this cause should have.
    var name: GapLog.Name {
      switch self {
      case .preempted: .preempted
      case .slept: .slept
      case .faulted: .faulted
      case .signalled: .signalled
      case .ours: .ours
      case .tick: .tick
      case .interrupt, .nothing: .interruptOrHost
      }
    }
  }

  private var counts = Truth.allCases.map { _ in GapLog.Name.allCases.map { _ in 0 } }
  /// Events of the loop's thread that are in no gap: too short to be one, or while the meter asks.
  private(set) var outside: [KernelEvent.Kind: Int] = [:]
  /// Names whose cause the kernel did not see in the gap, by what was in it.
  private(set) var falseNames: [String: Int] = [:]
  private var named = 0
  private var wronglyNamed = 0
  private var wronglyOurs = 0

  init(_ log: GapLog, _ events: [KernelEvent]) {
    var next = events.firstIndex { $0.cycle >= log.begin } ?? events.count
    for gap in log.all {
      while next < events.count, events[next].cycle < gap.begin {
        outside[events[next].kind, default: 0] += 1
        next += 1
      }
      var kinds: Set<KernelEvent.Kind> = []
      while next < events.count, events[next].cycle <= gap.end {
        kinds.insert(events[next].kind)
        next += 1
      }
      add(gap, kinds)
    }
  }

  private mutating func add(_ gap: GapLog.Gap, _ kinds: Set<KernelEvent.Kind>) {
    let truth = Truth(kinds, isOurs: gap.isOurs)
    counts[truth.rawValue][gap.name.rawValue] += 1
    if gap.name == .interruptOrHost { return }
    named += 1
    if gap.name == .ours, truth != .ours { wronglyOurs += 1 }
    let isSeen =
      switch gap.name {
      case .preempted: kinds.contains(.preempted)
      case .slept: kinds.contains(.slept)
      case .faulted: kinds.contains(.faulted)
      case .signalled: kinds.contains(.signalled)
      case .tick: kinds.contains(.tick)
      case .ours: truth == .ours
      case .interruptOrHost: true
      }
    if isSeen { return }
    wronglyNamed += 1
    let seen = kinds.map { "\($0)" }.sorted().joined(separator: "+")
    falseNames["\(gap.name) for \(seen.isEmpty ? "nothing" : seen)", default: 0] += 1
  }

  // MARK: Rates

  var total: Int { counts.joined().reduce(0, +) }

  /// Of the gaps with these causes, how many have their name.
  func right(_ truths: Truth...) -> (right: Int, all: Int) {
    truths.reduce(into: (right: 0, all: 0)) { sum, truth in
      sum.right += counts[truth.rawValue][truth.name.rawValue]
      sum.all += counts[truth.rawValue].reduce(0, +)
    }
  }

  var falselyNamed: (right: Int, all: Int) { (wronglyNamed, named) }
  var falselyOurs: (right: Int, all: Int) { (wronglyOurs, total) }

  /// The table, in Markdown.
  var table: String {
    let names = GapLog.Name.allCases
    var lines = [
      "| the kernel saw | " + names.map { "\($0)" }.joined(separator: " | ") + " |",
      "|---|" + names.map { _ in "---|" }.joined(),
    ]
    for truth in Truth.allCases {
      lines.append(
        "| \(truth) | " + counts[truth.rawValue].map { "\($0)" }.joined(separator: " | ") + " |")
    }
    return lines.joined(separator: "\n")
  }
}

// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// What was found wrong.
final class Violations: Sendable {
  /// What handlers find. They may run in signal handlers, so they count, and leave two numbers.
  enum Kind: Int, CaseIterable {
    case ranBesideItself, ranOnForeignThread, ranWhileUser, ranWhileOffline, ranAfterEnd
    case stalePayload

    var sentence: String {
      switch self {
      case .ranBesideItself: "two handlers ran for one CPU at once"
      case .ranOnForeignThread: "a handler ran on a thread that is another CPU, or none"
      case .ranWhileUser: "a handler ran on its CPU's thread while that was outside kernel"
      case .ranWhileOffline: "a handler ran on its CPU's thread, which was detached"
      case .ranAfterEnd: "a handler ran after its type had been unregistered"
      case .stalePayload: "a handler was told nothing"
      }
    }
  }

  private struct Found {
    var count = 0
    var printed = 0
  }
  private let found = Mutex(Found())
  private let kinds = WordTable(Kind.allCases.count * 3)
  private let seed: UInt64
  private static let shown = 20

  init(seed: UInt64) { self.seed = seed }

  /// Notes one, and prints the first few.
  func note(_ text: @autoclosure () -> String) {
    let isShown = found.withLock { found in
      found.count += 1
      if found.printed == Self.shown { return false }
      found.printed += 1
      return true
    }
    if isShown { Output.line("violation (seed \(seed)): \(text())") }
  }

  func check(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition { note(text()) }
  }

  /// Notes one in a handler.
  func tally(_ kind: Kind, type: Int, cpu: Int) {
    let place = kind.rawValue * 3
    kinds.store(place + 1, UInt64(truncatingIfNeeded: type))
    kinds.store(place + 2, UInt64(truncatingIfNeeded: cpu))
    kinds.add(place)
  }

  /// How many so far. Prints what handlers have found.
  func collect() -> Int {
    for kind in Kind.allCases {
      let place = kind.rawValue * 3
      let count = kinds.exchange(place, 0)
      if count == 0 { continue }
      note(
        "\(kind.sentence), \(count) times; last type \(kinds.load(place + 1)) of CPU \(kinds.load(place + 2))"
      )
    }
    return found.withLock { $0.count }
  }
}

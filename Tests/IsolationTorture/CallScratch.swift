// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What a thread asks CPUs in its calls, and what they answer, in plain memory: the calls are all that orders it.
// Sendable: one thread asks, each CPU writes a word of its own, and whether that is shared properly is what is looked at.
@safe
final class CallScratch: @unchecked Sendable {
  private let words: UnsafeMutablePointer<UInt64>
  /// The number of the call that is under way; 0 between calls.
  let underWay = WordTable(1)
  /// The record that this thread posts, and how often it ran.
  let runs = WordTable(2)
  let posts = WordTable(1)
  let post: CrossCall
  private static let stride = 16

  init() {
    // Safety: this object's own, until `deinit`.
    unsafe words = .allocate(capacity: (World.cpus + 1) * Self.stride)
    unsafe words.initialize(repeating: 0, count: (World.cpus + 1) * Self.stride)
    let runs = runs
    // Safety: this object keeps the table.
    post = unsafe CrossCall(
      context: Unmanaged.passUnretained(runs).toOpaque(), isInterruptSafe: true
    ) { runs, _ in
      _ = unsafe Unmanaged<WordTable>.fromOpaque(runs.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.add(0) }
    }
  }

  deinit { unsafe words.deallocate() }

  func ask(_ number: UInt64) {
    // Safety: inside, like all that follow.
    unsafe words[0] = number
    for cpu in 0..<World.cpus { unsafe words[(cpu + 1) * Self.stride] = 0 }
  }

  func answer(_ cpu: Int) { unsafe words[(cpu + 1) * Self.stride] = Self.answer(to: words[0]) }
  func answer(of cpu: Int) -> UInt64 { unsafe words[(cpu + 1) * Self.stride] }
  static func answer(to number: UInt64) -> UInt64 { ~number &* 3 }
}

// SPDX-License-Identifier: Apache-2.0

/// What a pooled call carries: it counts where it ends.
final class CallMessage: Sendable {
  let writer: Int
  let number: UInt64
  private let ended: WordTable

  init(_ writer: Int, _ number: UInt64, _ ended: WordTable) {
    self.writer = writer
    self.number = number
    self.ended = ended
  }

  deinit { ended.add(0) }
}

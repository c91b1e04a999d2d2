// SPDX-License-Identifier: Apache-2.0

/// What happened, in order, from any thread.
final class Journal<Entry: Sendable>: Sendable {
  private let list = Guarded<[Entry]>([])

  var entries: [Entry] { list.withLock { $0 } }
  func append(_ entry: Entry) { list.withLock { $0.append(entry) } }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

/// What threads found wrong: an issue can only be recorded by the test's own thread.
final class Violations: Sendable {
  private struct Found {
    var count = 0
    var texts: [String] = []
  }
  private let found = Guarded(Found())

  func note(_ text: @autoclosure () -> String) {
    found.withLock {
      $0.count += 1
      if $0.texts.count < 8 { $0.texts.append(text()) }
    }
  }

  func check(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition { note(text()) }
  }

  /// Records what was found, with the case that found it.
  func expectNone(_ description: some Any, sourceLocation: SourceLocation = #_sourceLocation) {
    let found = found.withLock { $0 }
    if found.count == 0 { return }
    for text in found.texts {
      Issue.record("\(text) [\(description)]", sourceLocation: sourceLocation)
    }
    Issue.record(
      "\(found.count) violations in all [\(description)]", sourceLocation: sourceLocation)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

/// Explorations of the library's own sources: `swift test --traits ModelChecking --filter ModelTests`.
///
/// Without the trait there is nothing to explore, and the suite says so.
@Suite(.serialized) struct ModelTests {
  #if !ModelChecking
    @Test(.disabled("the atomics are real: build with --traits ModelChecking"))
    func explorations() {}
  #endif
}

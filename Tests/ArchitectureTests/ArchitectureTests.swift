// SPDX-License-Identifier: Apache-2.0

import Testing

/// What the source tree looks like. These tests read it as text and use nothing of the library.
@Suite struct ArchitectureTests {}

/// What a check found, as one sentence each.
func expectNone(_ findings: [String], sourceLocation: SourceLocation = #_sourceLocation) {
  for finding in findings { Issue.record("\(finding)", sourceLocation: sourceLocation) }
}

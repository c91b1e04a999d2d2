// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("CPUContext")
struct CPUContextTests {
  @Test("contexts fit the three bits of the word, kernel being zero")
  func rawValues() {
    #expect(CPUContext.allCases.map(\.rawValue) == [0, 1, 2, 3, 4])
    #expect(CPUContext.kernel.rawValue == 0)
  }

  @Test("work may wait for a CPU that is away, and for no other")
  func deferral() {
    #expect(CPUContext.allCases.filter(\.acceptsDeferral) == [.user, .idle, .guest])
  }

  @Test("names are the field's")
  func names() {
    #expect(
      CPUContext.allCases.map(\.description) == ["kernel", "user", "idle", "guest", "offline"])
  }
}

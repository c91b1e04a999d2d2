// SPDX-License-Identifier: Apache-2.0

import Testing

@Suite(
  "What must not compile",
  .enabled(if: Compiler() != nil, "there is no Swift compiler in the search path"))
struct CompileFailTests {
  @Test("what is correct compiles")
  func control() throws {
    let (status, output) = try #require(Compiler()).verify("Correct")
    #expect(status == 0, "\(output)")
  }

  @Test(
    "the compiler says what the fixture expects",
    arguments: [
      "LocalCPUCopied", "LocalCPUAfterDetach", "LocalCPUSent", "LocalCPUCaptured",
      "LocalCPUAwaited", "SenderCopied",
      "SenderSent", "CrossCallCopied", "KernelNames", "ProtectedNodeKept", "HazardPointerCopied",
    ])
  func diagnosed(fixture: String) throws {
    let (status, output) = try #require(Compiler()).verify(fixture)
    #expect(status == 0, "\(output)")
  }
}
